#include "harness/model_flags.h"

#include <fmt/format.h>

#include "harness/text_format.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {

void ModelFlags::AddTo(CLI::App& app, std::vector<int64_t>* windows) {
  constexpr const char* kWindow =
      "keys a query of a local layer sees, itself included";
  app.add_option("model", model, "name in configs/models, or a file")
      ->capture_default_str();
  app.add_option("--variant", local.variant, "variant of the local layers");
  if (windows != nullptr) {
    app.add_option("--window", *windows, kWindow)->delimiter(',');
  } else {
    app.add_option("--window", local.window_keys, kWindow);
  }
  app.add_option("--sinks", local.sinks, "leading keys that stay visible");
  app.add_option("--pattern", local.pattern,
                 "kinds of layers, repeated: local,local,local,global")
      ->delimiter(',');
  app.add_option("--dtype", dtype, "of keys and values: bf16 or fp32")
      ->capture_default_str();
}

ModelConfig ModelFlags::Load() const {
  return WithLocal(LoadModelConfig(model), local);
}

Dtype ModelFlags::CacheDtype() const {
  for (const Dtype known : {Dtype::kBF16, Dtype::kF32}) {
    if (dtype == Name(known)) return known;
  }
  throw UserError(fmt::format("--dtype \"{}\"{}", dtype,
                              NearestHint(dtype, {"bf16", "fp32"})));
}

std::string LayersText(const LayerKindMemory& kind) {
  return fmt::format("{} {}", kind.layers, kind.kind);
}

std::string MixerText(const std::string& variant,
                      const std::optional<int64_t>& window_keys) {
  if (!window_keys) return variant;
  return fmt::format("{} W={}", variant, *window_keys);
}

}  // namespace rattn
