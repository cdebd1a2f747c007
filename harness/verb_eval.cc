// rattn eval: scores a checkpoint, or the model that train flags describe
// (trained first if need be), at one or several lengths.
#include <fmt/format.h>

#include <memory>

#include "harness/checkpoint_cell.h"
#include "harness/eval_model.h"
#include "harness/file_io.h"
#include "harness/interrupt.h"
#include "harness/kinds.h"
#include "harness/model_verb_flags.h"
#include "harness/products.h"
#include "harness/score_table.h"
#include "harness/train_fields.h"
#include "harness/verb_functions.h"
#include "models/error.h"

namespace rattn {
namespace {

struct EvalVerbOptions {
  std::unique_ptr<FieldFlags> fields;
  std::vector<int64_t> lengths;
  std::string checkpoint, log_samples;
  int64_t show = 0;
  bool json = false;
};

// Values of one eval cell per length; 0 stands for the training length.
std::vector<Json> ValuesPerLength(const EvalVerbOptions& options) {
  Json values = options.fields->Values();
  values["log_samples"] = !options.log_samples.empty();
  if (options.lengths.empty()) return {values};
  std::vector<Json> all;
  for (const int64_t length : options.lengths) {
    all.push_back(values);
    all.back()["length"] = length;
  }
  return all;
}

CellResult RunOne(const EvalVerbOptions& options, const Cell& cell,
                  const CellContext& context) {
  if (options.checkpoint.empty()) return EvalCellKind().run(cell, context);
  const Json values = ValuesOf(cell);
  const std::unique_ptr<Task> task =
      TaskOf(values["task"], values["task_params"], values);
  const std::unique_ptr<LanguageModel> model =
      GetModelRuntime().Load(options.checkpoint, ExecutionOf(values));
  return EvaluateModel(*model, *task, values, context);
}

void ShowSamples(const EvalVerbOptions& options, const Json& values) {
  const std::unique_ptr<Task> task =
      TaskOf(values["task"], values["task_params"], values);
  const int64_t length = values["length"].is_null()
                             ? task->train_length()
                             : values["length"].get<int64_t>();
  for (int64_t i = 0; i < options.show; ++i) {
    fmt::print("{}\n", task->Show(values["eval_seed"], i, length));
  }
}

int RunEval(const EvalVerbOptions& options) {
  CatchInterrupts();
  CheckTargetFile("--log-samples", options.log_samples);
  std::vector<Cell> cells;
  for (const Json& values : ValuesPerLength(options)) {
    cells.push_back(options.checkpoint.empty()
                        ? BuildCell(EvalCellKind(), values, "eval")
                        : CheckpointCell(options.checkpoint, values));
  }
  if (options.show > 0) {
    ShowSamples(options, ValuesOf(cells.front()));
    return kExitDone;
  }
  LiveLine line;
  const CellContext context{
      ProductsFolder(),
      [&](int64_t done, int64_t total, const std::string& what) {
        line.Show(fmt::format("{}/{} {}", done, total, what));
        return true;
      }};
  Json json = Json::array();
  std::string samples;
  for (const Cell& cell : cells) {
    if (!options.json) fmt::print("{}\n", Describe(cell));
    std::fflush(stdout);
    const CellResult result = RunOne(options, cell, context);
    line.Clear();
    for (const std::string& sample : result.lines) samples += sample + "\n";
    if (options.json) {
      json.push_back(CellFileJson(cell, result));
    } else {
      PrintMetrics(result.metrics);
    }
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  if (!options.log_samples.empty()) {
    WriteFileAtomically(options.log_samples, samples);
  }
  return kExitDone;
}

}  // namespace

void AddEval(CLI::App& app, Action* action) {
  auto options = std::make_shared<EvalVerbOptions>();
  options->fields = std::make_unique<FieldFlags>(
      app, EvalCellKind(), std::vector<std::string>{"length", "log_samples"});
  app.add_option("--checkpoint", options->checkpoint,
                 "model to score (default: the one the train flags describe)");
  app.add_option("--length", options->lengths,
                 "tokens of a sequence, a list (default: the training length)")
      ->delimiter(',')
      ->check(kAboveZero);
  app.add_option("--log-samples", options->log_samples,
                 "file for every sample with its answer, JSON lines");
  app.add_option("--show", options->show,
                 "print this many samples in words and run nothing");
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunEval(*options); };
}

}  // namespace rattn
