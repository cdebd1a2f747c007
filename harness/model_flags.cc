#include "harness/model_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/text_format.h"
#include "kernels/catalog.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {

void ModelFlags::AddTo(CLI::App& app, LocalLists* lists) {
  constexpr const char* kWindow =
      "keys a query of a local layer sees, itself included";
  app.add_option("model", model, "name in configs/models, or a file")
      ->capture_default_str();
  constexpr const char* kVariant = "variant of the local layers";
  if (lists != nullptr) {
    app.add_option("--variant", lists->variants, kVariant)->delimiter(',');
    app.add_option("--window", lists->windows, kWindow)->delimiter(',');
  } else {
    app.add_option("--variant", local.variant, kVariant);
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

std::vector<ModelConfig> ModelFlags::LoadAll(const LocalLists& lists) const {
  std::vector<ModelConfig> models;
  const size_t variants = std::max<size_t>(lists.variants.size(), 1);
  for (size_t v = 0; v < variants; ++v) {
    ModelFlags one = *this;
    if (!lists.variants.empty()) one.local.variant = lists.variants[v];
    std::vector<int64_t> windows = lists.windows;
    if (const Variant* variant = FindVariant(one.local.variant);
        variant != nullptr && variants > 1) {
      if (!variant->takes_window) windows.clear();
      if (variant->spec.local.kind != LocalKind::kWindowSinks) {
        one.local.sinks.reset();
      }
    }
    if (windows.empty()) models.push_back(one.Load());
    for (const int64_t window : windows) {
      one.local.window_keys = window;
      models.push_back(one.Load());
    }
  }
  return models;
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
