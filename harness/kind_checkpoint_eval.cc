// Cells of checkpoints from disk: scored on a task on real text, with a window
// or mixer imposed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/answer_journal.h"
#include "harness/checkpoint_eval.h"
#include "harness/checkpoint_fields.h"
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

Metric MetricOf(std::string key, std::string unit, const Estimate& estimate,
                bool higher_is_better, int64_t n) {
  Metric metric{std::move(key), estimate.value, std::move(unit),
                higher_is_better ? Better::kHigher : Better::kLower};
  metric.standard_error = estimate.standard_error;
  metric.n = n;
  return metric;
}

// Every task counts the same.
std::vector<Metric> RulerMetrics(const CheckpointEvalResult& result) {
  std::vector<GroupMember> members;
  std::vector<Metric> parts;
  int64_t n = 0;
  for (const TextEvalResult& one : result.results) {
    Estimate estimate = one.metrics.front().estimate;
    const double scale = result.ruler_mode == RulerMode::kLmEval ? 100 : 1;
    estimate.value *= scale;
    if (estimate.standard_error) *estimate.standard_error *= scale;
    members.push_back({estimate.value, estimate.standard_error, one.evaluated});
    parts.push_back(MetricOf("score." + one.name, "percent", estimate, true,
                             one.evaluated));
    n += one.evaluated;
  }
  std::vector<Metric> metrics = {
      MetricOf("score", "percent", MeanByMember(members), true, n)};
  if (parts.size() > 1) {
    metrics.insert(metrics.end(), parts.begin(), parts.end());
  }
  return metrics;
}

// A group's scores by document and by subject.
std::vector<Metric> GroupMetrics(const Json& group) {
  std::vector<Metric> metrics;
  for (const auto& [key, value] : group.items()) {
    const size_t comma = key.find(',');
    const std::string name = key.substr(0, comma);
    if (comma == std::string::npos || name.ends_with("_stderr") ||
        name.ends_with("_ci95") || name.ends_with("_chance")) {
      continue;
    }
    Metric metric{name, value.get<double>(), "fraction", Better::kHigher};
    const Json error =
        group.value(name + "_stderr" + key.substr(comma), Json());
    if (error.is_number()) metric.standard_error = error.get<double>();
    const Json chance =
        group.value(name + "_chance" + key.substr(comma), Json());
    if (chance.is_number()) metric.chance = chance.get<double>();
    metric.n = group.at("sample_len").get<int64_t>();
    metrics.push_back(metric);
  }
  return metrics;
}

std::vector<Metric> MetricsOf(const CheckpointEvalResult& result,
                              const Json& json, const std::string& task) {
  if (!result.ruler.empty()) return RulerMetrics(result);
  if (json.contains("groups") && json["groups"].contains(task)) {
    return GroupMetrics(json["groups"][task]);
  }
  std::vector<Metric> metrics;
  const TextEvalResult& one = result.results.front();
  for (const TextMetric& metric : one.metrics) {
    const std::string key = metric.filter == "none"
                                ? metric.name
                                : metric.name + "." + metric.filter;
    metrics.push_back(
        MetricOf(key, metric.higher_is_better ? "fraction" : metric.name,
                 metric.estimate, metric.higher_is_better, one.evaluated));
    metrics.back().chance = metric.chance;
  }
  return metrics;
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
  result.metrics = MetricsOf(evaluated, json, values["task"]);
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
