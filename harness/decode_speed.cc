#include "harness/decode_speed.h"

#include <numeric>
#include <vector>

#include "harness/interrupt.h"
#include "harness/measure.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr int32_t kNoStop = -1;

// Training rows of the task, one behind the other and the last one cut: what
// the tokens say changes neither speed nor bytes.
std::vector<int32_t> Prompt(const Task& task, int64_t length) {
  const Batch batch = task.TrainBatch(0, 1);
  std::vector<int32_t> prompt(length);
  for (int64_t i = 0; i < length; ++i) {
    prompt[i] = batch.tokens[i % batch.length];
  }
  return prompt;
}

// Mean seconds of a token per repetition, each on fresh caches. The prompt is
// outside of the clock.
Samples DecodeSamples(const LanguageModel& model,
                      const std::vector<int32_t>& prompt, int64_t tokens) {
  const auto sample = [&] {
    if (Interrupted()) throw RunError("stopped");
    CacheUse use;
    model.Generate(prompt, 1 + tokens, kNoStop, 0, &use);
    return std::accumulate(use.token_seconds.begin(), use.token_seconds.end(),
                           0.0) /
           static_cast<double>(tokens);
  };
  Samples samples =
      MeasureRepeated(sample, {.max_samples = 50, .max_seconds = 1.5});
  samples.calls = tokens;
  return samples;
}

}  // namespace

void AddCacheUse(const LanguageModel& model, const Task& task, int64_t context,
                 int64_t decode_tokens, CellResult* result) {
  const std::vector<int32_t> prompt = Prompt(task, context);
  CacheUse use;
  model.Generate(prompt, 1, kNoStop, 0, &use);
  result->metrics.push_back(
      {"kv_bytes", static_cast<double>(use.kv_bytes), "B", Better::kLower});
  result->metrics.push_back({"state_bytes",
                             static_cast<double>(use.state_bytes), "B",
                             Better::kLower});
  result->detail["decode_context"] = context;
  result->detail["decode_prompt"] = "training rows of the task, repeated";
  if (decode_tokens == 0) return;
  const Samples samples = DecodeSamples(model, prompt, decode_tokens);
  const Summary summary = Summarize(samples.seconds);
  Metric metric{"decode_throughput", std::nullopt, "tokens/s", Better::kHigher};
  if (summary.median > 0) {
    metric.value = 1 / summary.median;
  } else {
    metric.reason = "the clock is too coarse for so few tokens";
  }
  result->metrics.push_back(metric);
  result->stats = ToJson(summary, samples.stopped_by);
  result->samples.assign(samples.seconds.begin(), samples.seconds.end());
}

}  // namespace rattn
