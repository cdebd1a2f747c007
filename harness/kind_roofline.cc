// Roofline cells: predicted time of a decoding step and the speed-up over a
// baseline mixer.
#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/memory.h"
#include "harness/mixer_fields.h"
#include "harness/roofline.h"
#include "harness/train_fields.h"
#include "kernels/catalog.h"

namespace rattn {
namespace {

const Fields& RooflineFields() {
  using enum FieldType;
  static const Fields fields = Join({
      ModelFields(),
      {{"hardware", kText, "h100-sxm", true, false,
        "name in configs/hardware, or a file"},
       {"context", kCount, 4096, true, false, "tokens cached per sequence"},
       {"batch", kCount, 64, true, false, "sequences"},
       {"dtype", kText, "bf16", true, false, "of weights, keys and values"},
       {"state", kText, "kv-head", false, false,
        "what a step moves of a state"},
       {"baseline", kText, "swa", false, false, "variant to compare with"},
       {"baseline_window", kCount, 4096, false, false, "its window_keys"}},
  });
  return fields;
}

void Normalize(Json& values, const std::string& origin) {
  NormalizeModel(values, origin);
  CheckNamed(values, "dtype", {"fp32", "bf16"}, origin);
  LoadHardware(values["hardware"]);
  ParseStateTraffic(values["state"]);
  GetVariant(values["baseline"], origin);
}

ModelConfig Baseline(const ModelConfig& config, const Json& values) {
  LocalOverride change = {.variant = values["baseline"]};
  if (FindVariant(change.variant)->takes_window) {
    change.window_keys = values["baseline_window"].get<int64_t>();
  }
  return WithLocal(config, change);
}

CellResult Run(const Cell& cell, const CellContext&) {
  const Json values = ValuesOf(cell);
  const ModelConfig config = ModelOf(values, "model");
  const Hardware hardware = LoadHardware(values["hardware"]);
  StepOptions options;
  options.context = values["context"];
  options.batch = values["batch"];
  options.dtype = ParseDtype(values["dtype"]);
  options.traffic = ParseStateTraffic(values["state"]);
  const StepTime step = PredictStep(config, hardware, options);
  const StepTime baseline =
      PredictStep(Baseline(config, values), hardware, options);
  CellResult result;
  result.metrics = {
      {"step_time", step.seconds, "s", Better::kLower},
      {"speedup", baseline.seconds / step.seconds, "ratio", Better::kHigher}};
  result.detail = {{"baseline_step_time", baseline.seconds},
                   {"cache_seconds", step.cache_seconds},
                   {"weight_seconds", step.weight_seconds},
                   {"compute_seconds", step.compute_seconds},
                   {"fits", step.fits},
                   {"predicted", true}};
  return result;
}

}  // namespace

const CellKind& RooflineCellKind() {
  static const CellKind kind = {"roofline",
                                "predicted time of a decoding step",
                                RooflineFields,
                                Normalize,
                                nullptr,
                                nullptr,
                                Run};
  return kind;
}

}  // namespace rattn
