#include "harness/eval_model.h"

#include <cmath>

#include "harness/decode_speed.h"
#include "harness/interrupt.h"
#include "models/error.h"

namespace rattn {
namespace {

Metric ScoreMetric(const Score& score) {
  Metric metric{score.key, score.value, score.unit,
                score.higher_is_better ? Better::kHigher : Better::kLower};
  if (std::isfinite(score.standard_error)) {
    metric.standard_error = score.standard_error;
  }
  metric.chance = score.chance;
  metric.n = score.n;
  return metric;
}

}  // namespace

CellResult EvaluateModel(const LanguageModel& model, const Task& task,
                         const Json& values, const CellContext& context) {
  EvalOptions options;
  const Json& length = values.at("length");
  options.length = length.is_null() ? 0 : length.get<int64_t>();
  options.samples = values.at("samples");
  options.seed = values.at("eval_seed");
  options.batch = values.at("eval_batch");
  options.progress = [&](int64_t done, int64_t total) {
    return !Interrupted() && (context.progress == nullptr ||
                              context.progress(done, total, "samples"));
  };
  EvalResult evaluated = task.Evaluate(model, options);
  if (Interrupted()) throw RunError("stopped");
  CellResult result;
  for (const Score& score : evaluated.scores) {
    result.metrics.push_back(ScoreMetric(score));
  }
  if (values.at("log_samples") == true) {
    result.lines = std::move(evaluated.sample_jsonl);
  }
  const int64_t used =
      options.length > 0 ? options.length : task.train_length();
  const Json& cached = values.at("decode_context");
  AddCacheUse(model, task, cached.is_null() ? used : cached.get<int64_t>(),
              values.at("decode_tokens"), &result);
  result.detail["length"] = used;
  return result;
}

}  // namespace rattn
