#include "harness/train_fields.h"

#include <fmt/format.h>

#include "harness/kind_fields.h"
#include "models/error.h"

namespace rattn {

const Fields& TrainFields() {
  using enum FieldType;
  static const Fields fields = Join({
      ModelFields(),
      {{"task", kText, nullptr, true, false, "task to train on"},
       {"seed", kNatural, 0, true, false, "of initial weights and data"},
       {"steps", kCount, 500, true, false, "training steps"},
       {"batch", kCount, 32, true, false, "sequences of a step"},
       {"lr", kPositive, 4e-3, true, false, "peak learning rate"},
       {"dtype", kText, "fp32", true, false, "fp32 or bf16"},
       {"backend", kText, "cpu", true, false, "backend of the mixers"},
       {"task_params", kObject, Json::object(), false, false,
        "parameters of the task"},
       {"lr_end", kShare, 0.0, false, false, "last lr, as a share of lr"},
       {"warmup", kShare, 0.05, false, false, "share of the steps"},
       {"beta1", kShare, 0.9, false, false, "AdamW"},
       {"beta2", kShare, 0.98, false, false, "AdamW"},
       {"weight_decay", kShare, 0.01, false, false, "AdamW"},
       {"clip", kPositive, 1.0, false, false, "largest gradient norm"},
       {"threads", kCount, 1, false, false, "threads of a training"}},
  });
  return fields;
}

TrainOptions TrainOptionsOf(const Json& values) {
  TrainOptions options;
  options.steps = values.at("steps");
  options.batch = values.at("batch");
  options.lr = values.at("lr");
  options.lr_end = values.at("lr_end");
  options.warmup = values.at("warmup");
  options.beta1 = values.at("beta1");
  options.beta2 = values.at("beta2");
  options.weight_decay = values.at("weight_decay");
  options.clip = values.at("clip");
  options.seed = values.at("seed");
  return options;
}

ExecutionOptions ExecutionOf(const Json& values) {
  return {values.at("backend"), values.at("dtype"), values.at("threads")};
}

std::unique_ptr<Task> TaskOf(const std::string& name, const Json& params,
                             const Json& values) {
  Json all = Json::object();
  if (!params.contains("seed")) all["seed"] = values.at("seed");
  for (const auto& [key, value] : params.items()) {
    const std::string text = value.is_string() ? value : "";
    if (!text.starts_with("$")) {
      all[key] = value;
      continue;
    }
    const auto field = values.find(text.substr(1));
    if (field == values.end()) {
      throw UserError(
          fmt::format("task_params: {} = \"{}\": no such field", key, text));
    }
    if (!field->is_null()) all[key] = *field;
  }
  return MakeTask(name, all.dump());
}

Json ValuesOf(const Cell& cell) {
  Json values = cell.axes;
  values.update(cell.params);
  return values;
}

}  // namespace rattn
