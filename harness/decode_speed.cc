#include "harness/decode_speed.h"

#include <chrono>
#include <vector>

#include "harness/measure.h"

namespace rattn {
namespace {

constexpr int32_t kNoStop = -1;

// Training data of the task, repeated to `length` tokens: speed and bytes do
// not depend on what the tokens say.
std::vector<int32_t> Prompt(const Task& task, int64_t length) {
  const Batch batch = task.TrainBatch(0, 1);
  std::vector<int32_t> prompt(length);
  for (int64_t i = 0; i < length; ++i) {
    prompt[i] = batch.tokens[i % batch.length];
  }
  return prompt;
}

}  // namespace

void AddCacheUse(const LanguageModel& model, const Task& task, int64_t length,
                 int64_t decode_tokens, CellResult* result) {
  const std::vector<int32_t> prompt = Prompt(task, length);
  CacheUse use;
  model.Generate(prompt, 1, kNoStop, 0, &use);
  result->metrics.push_back(
      {"kv_bytes", static_cast<double>(use.kv_bytes), "B", Better::kLower});
  result->metrics.push_back({"state_bytes",
                             static_cast<double>(use.state_bytes), "B",
                             Better::kLower});
  if (decode_tokens == 0) return;
  // The prompt's own time is taken off: both calls pay it.
  std::vector<Contender> contenders = {
      {"prompt", [&] { model.Generate(prompt, 1, kNoStop, 0, nullptr); }},
      {"decode", [&] {
         model.Generate(prompt, 1 + decode_tokens, kNoStop, 0, nullptr);
       }}};
  const std::vector<Samples> samples =
      MeasureInterleaved(contenders, StopRule{});
  std::vector<double> seconds(samples[1].seconds);
  for (size_t i = 0; i < seconds.size(); ++i) {
    seconds[i] = (seconds[i] - samples[0].seconds[i]) /
                 static_cast<double>(decode_tokens);
  }
  const Summary summary = Summarize(seconds);
  Metric metric{"decode_throughput", std::nullopt, "tokens/s", Better::kHigher};
  if (summary.median > 0) {
    metric.value = 1 / summary.median;
  } else {
    metric.reason = "the prompt's time hides that of the decoded tokens";
  }
  result->metrics.push_back(metric);
  result->stats = ToJson(summary, samples[1].stopped_by);
  result->samples.assign(seconds.begin(), seconds.end());
}

}  // namespace rattn
