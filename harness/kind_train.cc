// Train cells: a model trained on a task. The product is its checkpoint.
#include <fmt/format.h>

#include <filesystem>

#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/products.h"
#include "harness/train_fields.h"
#include "harness/train_product.h"

namespace rattn {
namespace {

void Normalize(Json& values, const std::string& origin) {
  NormalizeModel(values, origin);
  CheckThreads(values, origin);
  CheckNamed(values, "dtype", {"fp32", "bf16"}, origin);
  CheckNamed(values, "backend", BackendNames(/*with_aten=*/true), origin);
  CheckNamed(values, "task", TaskNames(), origin);
}

// A time of the process that finished the training; of a training that was
// interrupted it says only what that process measured.
Metric Measured(const char* key, const char* unit, Better better, double value,
                int64_t resumed_from, const Json& values) {
  Metric metric{key, value, unit, better};
  const bool whole = resumed_from == 0;
  const bool some = resumed_from < values.at("steps").get<int64_t>();
  if (whole || (some && std::string(unit) != "s")) return metric;
  metric.value.reset();
  metric.reason = fmt::format(
      "training was interrupted and continued at step {}", resumed_from);
  return metric;
}

CellResult Run(const Cell& cell, const CellContext& context) {
  const Json values = ValuesOf(cell);
  const std::unique_ptr<Task> task =
      TaskOf(values["task"], values["task_params"], values);
  const TrainedProduct product =
      TrainProduct(TrainingOf(values), *task, context);
  CellResult result;
  const Json& trained = product.result;
  result.metrics = {
      {"loss", trained["loss"].get<double>(), "nats", Better::kLower},
      {"parameters", trained["parameters"].get<double>(), "count"},
      Measured("throughput", "tokens/s", Better::kHigher,
               trained["tokens_per_s"], trained["resumed_from"], values),
      Measured("seconds", "s", Better::kLower, trained["seconds"],
               trained["resumed_from"], values)};
  result.detail = {{"product", product.name},
                   {"reused", product.reused},
                   {"loss_curve", trained["loss_curve"]},
                   {"resumed_from", trained["resumed_from"]}};
  return result;
}

}  // namespace

const CellKind& TrainCellKind() {
  static const CellKind kind = {"train",     "trains a model on a task",
                                TrainFields, Normalize,
                                nullptr,     nullptr,
                                Run};
  return kind;
}

}  // namespace rattn
