// Eval cells: a trained model, scored on a task at a length. Trained first if
// the cache does not hold it.
#include <fmt/format.h>

#include "harness/eval_model.h"
#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/train_fields.h"
#include "harness/train_product.h"
#include "models/error.h"

namespace rattn {
namespace {

// Of a prompt that is made only to be timed.
constexpr int64_t kLongestContext = int64_t{1} << 20;

const Fields& EvalFields() {
  using enum FieldType;
  static const Fields fields = Join({
      TrainFields(),
      {{"length", kCount, nullptr, true, true,
        "tokens of a sequence; null = the training length"},
       {"samples", kCount, 256, false, false, "sequences to score"},
       {"eval_seed", kNatural, 1000, false, false, "of the scored sequences"},
       {"eval_batch", kCount, 32, false, false, "sequences at a time"},
       {"train_task", kText, nullptr, false, true,
        "task that the model is trained on; null = task"},
       {"train_task_params", kObject, nullptr, false, true,
        "its parameters; null = task_params"},
       {"decode_context", kCount, nullptr, true, true,
        "tokens in the caches when their bytes are counted and decoding is "
        "timed; null = length"},
       {"decode_tokens", kNatural, 0, false, false,
        "tokens to time the decoding of; 0 = not timed"},
       {"log_samples", kFlag, false, false, false,
        "keep every sample with its answer in a side file"}},
  });
  return fields;
}

// Values of the train cell whose product this cell scores.
Json TrainValues(const Json& values) {
  Json train = Json::object();
  for (const Field& field : TrainFields()) {
    train[field.key] = values.at(field.key);
  }
  if (!values.at("train_task").is_null()) train["task"] = values["train_task"];
  if (!values.at("train_task_params").is_null()) {
    train["task_params"] = values["train_task_params"];
  }
  return train;
}

std::optional<Cell> Needs(const Cell& cell) {
  return BuildCell(TrainCellKind(), TrainValues(ValuesOf(cell)), "train");
}

void Normalize(Json& values, const std::string& origin) {
  TrainCellKind().normalize(values, origin);
  if (values["decode_context"] > kLongestContext) {
    throw UserError(fmt::format("{}: decode_context must be {} or fewer",
                                origin, kLongestContext));
  }
  if (!values["train_task"].is_null()) {
    CheckNamed(values, "train_task", TaskNames(), origin);
    if (values["train_task"] == values["task"]) values["train_task"] = nullptr;
  }
  if (values["train_task_params"] == values["task_params"]) {
    values["train_task_params"] = nullptr;
  }
}

bool Alone(const Cell& cell) { return cell.params.at("decode_tokens") != 0; }

CellResult Run(const Cell& cell, const CellContext& context) {
  const Json values = ValuesOf(cell);
  const Json train = TrainValues(values);
  const std::unique_ptr<Task> train_task =
      TaskOf(train["task"], train["task_params"], train);
  const TrainedProduct product =
      TrainProduct(TrainingOf(train), *train_task, context);
  const std::unique_ptr<Task> task =
      TaskOf(values["task"], values["task_params"], values);
  const std::unique_ptr<LanguageModel> model =
      GetModelRuntime().Load(product.checkpoint, ExecutionOf(values));

  CellResult result = EvaluateModel(*model, *task, values, context);
  result.detail["product"] = product.name;
  return result;
}

}  // namespace

const CellKind& EvalCellKind() {
  static const CellKind kind = {"eval",     "scores a trained model on a task",
                                EvalFields, Normalize,
                                Alone,      Needs,
                                Run};
  return kind;
}

}  // namespace rattn
