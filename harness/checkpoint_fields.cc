#include "harness/checkpoint_fields.h"

#include <filesystem>

#include "harness/kind_fields.h"
#include "harness/mixer_fields.h"
#include "harness/train_fields.h"
#include "models/error.h"

namespace rattn {
namespace {

// Without a variant the model keeps its own mixers; a window alone makes it
// swa.
void NormalizeImposedMixer(Json& values, const std::string& origin) {
  if (values["variant"].is_null() && !values["window_keys"].is_null()) {
    values["variant"] = "swa";
  }
  if (!values["variant"].is_null()) {
    NormalizeMixer(values, origin);
  } else if (!values["sinks"].is_null()) {
    throw UserError(origin + ": sinks need a variant, such as swa+sinks");
  }
}

}  // namespace

Fields CheckpointFields() {
  using enum FieldType;
  return Join({
      {{"model", kText, nullptr, true, false,
        "folder with config.json, or a name of scripts/get_models"}},
      MixerFields(nullptr, nullptr),
      {{"dtype", kText, "fp32", true, false, "fp32 or bf16"},
       {"backend", kText, "cpu", true, false, "of the mixers"},
       {"folder", kText, nullptr, false, true,
        "the checkpoint; null = found by the name `model`"},
       {"layers", kText, nullptr, false, true,
        "layers that get the mixer: local or all; null = local where there "
        "are any"},
       {"threads", kNatural, 0, false, false, "0 = all"}},
  });
}

void NormalizeCheckpoint(Json& values, const std::string& origin) {
  NormalizeImposedMixer(values, origin);
  CheckNamed(values, "dtype", {"fp32", "bf16"}, origin);
  CheckNamed(values, "backend", BackendNames(/*with_aten=*/true), origin);
  CheckThreads(values, origin);
  // Names of reports are short, and the same wherever the folder is.
  const std::filesystem::path model = values["model"].get<std::string>();
  if (model.has_parent_path()) {
    values["folder"] = model.string();
    values["model"] = (model.has_filename() ? model : model.parent_path())
                          .filename()
                          .string();
  }
}

CheckpointSpec CheckpointOf(const Json& values) {
  const auto text = [&](const char* key, const std::string& absent) {
    return values.at(key).is_null() ? absent
                                    : values.at(key).get<std::string>();
  };
  CheckpointSpec spec;
  spec.folder = FindCheckpoint(text("folder", values.at("model")));
  spec.overrides = {IntegerOr(values.at("window_keys"), 0), text("variant", ""),
                    IntegerOr(values.at("sinks"), -1), text("layers", "")};
  spec.execution = ExecutionOf(values);
  return spec;
}

}  // namespace rattn
