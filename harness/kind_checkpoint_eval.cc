// Cells of checkpoints from disk: scored on a task on real text, with a window
// or mixer imposed.
#include <fmt/format.h>

#include <algorithm>

#include "harness/answer_journal.h"
#include "harness/checkpoint_eval.h"
#include "harness/checkpoint_fields.h"
#include "harness/checkpoint_metrics.h"
#include "harness/eval_output.h"
#include "harness/interrupt.h"
#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/mixer_fields.h"
#include "harness/products.h"
#include "harness/train_fields.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr int64_t kDefaultLength = 4096;

const Fields& CheckpointEvalFields() {
  using enum FieldType;
  static const Fields fields = Join({
      CheckpointFields(),
      {{"task", kText, nullptr, true, false, "task on real text"},
       {"length", kCount, nullptr, true, true,
        "tokens of a RULER sample; null = 4096"},
       {"data", kText, nullptr, false, true, "data folder; null = $RATTN_DATA"},
       {"limit", kPositive, nullptr, false, true,
        "documents of a task; below 1 a share"},
       {"shots", kNatural, nullptr, false, true, "null = the task's own"},
       {"samples", kCount, 100, false, false, "of a RULER task"},
       {"ruler_mode", kText, "official", false, false,
        "official, fresh or lm-eval"},
       {"text_file", kText, nullptr, false, true, "of the task perplexity"},
       {"stride", kNatural, 0, false, false, "of perplexity's windows"}},
  });
  return fields;
}

bool IsRuler(const std::string& task) {
  const auto tasks = RulerTextTasks();
  return task == "ruler" ||
         std::any_of(tasks.begin(), tasks.end(), [&](const auto& t) {
           return task == t.name || task == t.lm_eval_name;
         });
}

std::string TextOr(const Json& value, const std::string& otherwise) {
  return value.is_null() ? otherwise : value.get<std::string>();
}

void Normalize(Json& values, const std::string& origin) {
  NormalizeCheckpoint(values, origin);
  CheckNamed(values, "task", EvalTaskNames(), origin);
  ParseRulerMode(values["ruler_mode"]);
  if (!IsRuler(values["task"])) {
    values["length"] = nullptr;
  } else if (values["length"].is_null()) {
    values["length"] = kDefaultLength;
  }
}

void Check(const Cell& cell) {
  const Json values = ValuesOf(cell);
  CheckpointOf(values);
  if (values["task"] != "perplexity")
    FindDataFolder(TextOr(values["data"], ""));
}

CheckpointEvalOptions OptionsOf(const Json& values) {
  CheckpointEvalOptions options;
  options.tasks = {values["task"].get<std::string>()};
  options.data = TextOr(values["data"], "");
  if (!values["limit"].is_null()) {
    options.text.limit = values["limit"].get<double>();
  }
  if (!values["shots"].is_null()) {
    options.text.shots = values["shots"].get<int64_t>();
  }
  options.ruler.mode = ParseRulerMode(values["ruler_mode"]);
  options.ruler.lengths = {IntegerOr(values["length"], kDefaultLength)};
  options.ruler.request.samples = values["samples"];
  options.text_file = TextOr(values["text_file"], "");
  options.perplexity.stride = values["stride"];
  return options;
}

CellResult Run(const Cell& cell, const CellContext& context) {
  const Json values = ValuesOf(cell);
  const CheckpointSpec spec = CheckpointOf(values);
  const auto tokenizer = LoadTokenizer(spec.folder);
  EvalRunFacts facts;
  facts.checkpoint = spec;
  facts.identity = CheckpointIdentity(spec, tokenizer->fingerprint());
  facts.tokenizer = tokenizer.get();
  AnswerJournal journal(JournalPath(facts.identity));
  CheckpointEvalOptions options = OptionsOf(values);
  options.text.answers = &journal;
  options.text.model_key = ModelKey(facts.identity);
  CheckpointEval eval(options, *tokenizer);
  const auto model = GetModelRuntime().LoadScoring(spec.folder, spec.overrides,
                                                   spec.execution);
  CheckpointEvalEvents events;
  events.progress = [&](const std::string& task, size_t, size_t, int64_t done,
                        int64_t total) {
    return !Interrupted() &&
           (!context.progress || context.progress(done, total, task));
  };
  const CheckpointEvalResult evaluated = eval.Run(*model, events);
  journal.Flush();
  if (evaluated.stopped) throw RunError("stopped");
  const Json json = EvalResultsJson(evaluated, facts);
  CellResult result;
  result.metrics = CheckpointMetrics(evaluated, json, values["task"]);
  result.detail["identity"] = facts.identity;
  result.detail["results"] = json["results"];
  if (json.contains("ruler")) result.detail["ruler"] = json["ruler"];
  return result;
}

}  // namespace

const CellKind& CheckpointEvalCellKind() {
  static const CellKind kind = {
      "checkpoint_eval", "scores a checkpoint from disk on real text",
      CheckpointEvalFields, Normalize,
      // Models of this size use the whole machine.
      [](const Cell&) { return true; }, nullptr, Run, Check};
  return kind;
}

}  // namespace rattn
