// rattn eval: scores a checkpoint from disk on real text, or a model that train
// flags describe (trained first if need be), at one or several lengths.
#include <fmt/format.h>

#include <memory>

#include "harness/checkpoint_cell.h"
#include "harness/checkpoint_files.h"
#include "harness/eval_model.h"
#include "harness/file_io.h"
#include "harness/interrupt.h"
#include "harness/kinds.h"
#include "harness/model_verb_flags.h"
#include "harness/products.h"
#include "harness/score_table.h"
#include "harness/train_fields.h"
#include "harness/verb_eval_checkpoint.h"
#include "harness/verb_functions.h"
#include "models/error.h"

namespace rattn {
namespace {

struct EvalVerbOptions {
  std::unique_ptr<FieldFlags> fields;
  std::vector<int64_t> lengths;
  std::string checkpoint, log_samples;
  CLI::Option* logs_samples = nullptr;
  EvalFlags from_disk;
  int64_t show = 0;
  bool json = false;
};

constexpr const char* kFromDisk = R"(
Checkpoints from disk, with lm-eval's prompts, scores and files:
  rattn eval --model DIR --data DATA --tasks mmlu,hellaswag --num_fewshot 5
  rattn eval --model DIR --data DATA --tasks ruler --lengths 4096,8192 --window 256)";

// Tasks on real text want a checkpoint from disk.
bool IsFromDisk(const EvalVerbOptions& options, const Json& fields) {
  return !options.from_disk.tasks.empty() ||
         (fields.contains("model") &&
          IsCheckpoint(ValueText(fields["model"])));
}

int RunFromDisk(const EvalVerbOptions& options, const Json& fields) {
  if (!options.checkpoint.empty()) {
    throw UserError("--checkpoint is a file of rattn train: use --model DIR");
  }
  if (!options.log_samples.empty()) {
    throw UserError(
        "--log-samples takes no file here: samples go to --output-path");
  }
  return RunCheckpointEval({options.from_disk, fields, options.lengths,
                            options.logs_samples->count() > 0, options.json});
}

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
  if (const Json fields = options.fields->Values();
      IsFromDisk(options, fields)) {
    return RunFromDisk(options, fields);
  }
  if (options.logs_samples->count() > 0 && options.log_samples.empty()) {
    throw UserError("--log-samples needs a file");
  }
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
  app.add_option("--length,--lengths", options->lengths,
                 "tokens of a sequence, a list (default: the training length; "
                 "RULER: 4096)")
      ->delimiter(',')
      ->check(kAboveZero);
  options->logs_samples =
      app.add_option("-s,--log-samples", options->log_samples,
                     "file for every sample with its answer, JSON lines; "
                     "checkpoints from disk: no file, see --output-path")
          ->expected(0, 1);
  app.add_option("--show", options->show,
                 "print this many samples in words and run nothing");
  app.add_flag("--json", options->json, "machine-readable output");
  options->from_disk.AddTo(&app);
  app.footer(app.get_footer() + kFromDisk);
  *action = [options] { return RunEval(*options); };
}

}  // namespace rattn
