// Speed of a checkpoint from disk: tokens per second of its prompts and of what
// it generates behind them.
#include <chrono>
#include <memory>

#include "harness/checkpoint_fields.h"
#include "harness/interrupt.h"
#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/machine_peaks.h"
#include "harness/measure.h"
#include "harness/memory.h"
#include "harness/process_memory.h"
#include "harness/train_fields.h"
#include "kernels/cost.h"
#include "kernels/random.h"
#include "models/error.h"
#include "models/hf_config.h"

namespace rattn {
namespace {

const Fields& CheckpointSpeedFields() {
  using enum FieldType;
  static const Fields fields = Join({
      CheckpointFields(),
      {{"phase", kText, "prompt", true, false, "prompt or generate"},
       {"context", kCount, 512, true, false,
        "tokens of the prompt; for generate those ahead of the new ones"},
       {"new_tokens", kCount, 128, false, false, "tokens that generate times"},
       {"seed", kNatural, 0, false, false, "of the prompt's random tokens"},
       {"min_samples", kCount, 3, false, false, "least number of samples"},
       {"max_samples", kCount, 50, false, false, "largest number of samples"},
       {"noise", kPositive, 0.01, false, false,
        "relative noise of the median to reach"},
       {"max_seconds", kPositive, 10.0, false, false, "of all samples"}},
  });
  return fields;
}

void Normalize(Json& values, const std::string& origin) {
  NormalizeCheckpoint(values, origin);
  CheckNamed(values, "phase", {"prompt", "generate"}, origin);
  if (values["phase"] == "prompt") values["new_tokens"] = 1;
}

struct SpeedCase {
  bool prompt = true;
  int64_t context = 0;
  int64_t new_tokens = 0;
  uint64_t seed = 0;
  StopRule rule;
};

SpeedCase CaseOf(const Json& values) {
  return {values["phase"] == "prompt",
          values["context"],
          values["new_tokens"],
          values["seed"],
          {.min_samples = values["min_samples"],
           .max_samples = values["max_samples"],
           .noise = values["noise"],
           .max_seconds = values["max_seconds"]}};
}

// One generation whose last token comes at the wanted count; what the tokens
// say changes neither work nor bytes.
class Generation {
 public:
  Generation(const ScoringModel& model, const SpeedCase& speed)
      : model_(model), speed_(speed) {
    PhiloxSequence random(speed.seed, /*stream=*/0);
    const auto vocabulary = static_cast<uint64_t>(model.vocab_size());
    for (int64_t i = 0; i < speed.context; ++i) {
      prompt_.push_back(static_cast<int32_t>(random.Below(vocabulary)));
    }
  }

  // Seconds of the prompt with the token that follows it, or of the mean token
  // from there on.
  double Seconds() const {
    if (Interrupted()) throw RunError("stopped");
    Clock::time_point first, last;
    GenerateRequest request;
    request.prompt = prompt_;
    request.max_new_tokens = speed_.prompt ? 1 : 1 + speed_.new_tokens;
    request.stop = [&](std::span<const int32_t> tokens) {
      last = Clock::now();
      if (tokens.size() == 1) first = last;
      return false;
    };
    const Clock::time_point start = Clock::now();
    model_.Generate(std::span(&request, 1),
                    [](size_t, const std::vector<int32_t>&) { return true; });
    if (speed_.prompt) return Between(start, Clock::now());
    return Between(first, last) / static_cast<double>(speed_.new_tokens);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double Between(Clock::time_point a, Clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
  }

  const ScoringModel& model_;
  const SpeedCase& speed_;
  std::vector<int32_t> prompt_;
};

// Least work of one sample: products with all matrices that a token passes, the
// output head at the last token alone, the mixers; every matrix and cache read
// once.
struct Work {
  double flops = 0;
  double bytes = 0;
};

Work WorkOf(const ModelConfig& config, const SpeedCase& speed, Dtype dtype) {
  const ParameterCount parameters = CountParameters(config);
  const auto body =
      static_cast<double>(parameters.active - parameters.embedding);
  const auto head = static_cast<double>(config.vocab_size * config.d_model);
  const int64_t tokens = speed.prompt ? speed.context : 1;
  Work work;
  work.flops = 2 * (body * static_cast<double>(tokens) + head);
  work.bytes = (body + head) * static_cast<double>(ByteSize(dtype));
  for (int64_t i = 0; i < config.layers; ++i) {
    Problem problem = LayerProblem(config, i);
    problem.phase = speed.prompt ? Phase::kForward : Phase::kDecode;
    problem.dtype = dtype;
    problem.shape.query_len = problem.shape.key_len = tokens;
    const Cost cost = ForwardCost(
        problem, speed.prompt ? 0 : speed.context + speed.new_tokens / 2);
    work.flops += cost.useful_flops;
    work.bytes += cost.bytes;
  }
  return work;
}

std::vector<Metric> MetricsOf(const SpeedCase& speed, const Work& work,
                              double seconds) {
  const auto tokens =
      static_cast<double>(speed.prompt ? speed.context : int64_t{1});
  return {{"time", seconds, "s", Better::kLower},
          {"throughput", tokens / seconds, "tokens/s", Better::kHigher},
          {"executed_flops", work.flops / seconds, "FLOP/s", Better::kHigher},
          {"bandwidth", work.bytes / seconds, "B/s", Better::kHigher}};
}

void AddCaches(const ModelConfig& config, const SpeedCase& speed, Dtype dtype,
               CellResult* result) {
  const ModelMemory memory =
      ComputeMemory(config, {.context = speed.context + speed.new_tokens,
                             .dtype = dtype,
                             .measure = MeasureMemory::kNone});
  result->metrics.push_back(
      {"kv_bytes", static_cast<double>(memory.kv_bytes), "B", Better::kLower});
  result->metrics.push_back({"state_bytes",
                             static_cast<double>(memory.state_bytes), "B",
                             Better::kLower});
}

CellResult Run(const Cell& cell, const CellContext&) {
  const Json values = ValuesOf(cell);
  const SpeedCase speed = CaseOf(values);
  const CheckpointSpec spec = CheckpointOf(values);
  const ModelConfig config =
      WithOverrides(LoadHfConfig(spec.folder).config, spec.overrides);
  if (config.max_length > 0 &&
      speed.context + speed.new_tokens > config.max_length) {
    return CellResult::Skipped("the model was made for " +
                               std::to_string(config.max_length) + " tokens");
  }
  const auto model = GetModelRuntime().LoadScoring(spec.folder, spec.overrides,
                                                   spec.execution);
  const Generation generation(*model, speed);
  const MachinePeaks before = MeasurePeaks(spec.execution.threads);
  ResetPeakMemory();
  const Samples samples =
      MeasureRepeated([&] { return generation.Seconds(); }, speed.rule);
  const int64_t peak_memory = PeakMemory();
  const Summary summary = Summarize(samples.seconds);
  const Dtype dtype = ParseDtype(values["dtype"]);
  CellResult result;
  result.metrics =
      MetricsOf(speed, WorkOf(config, speed, dtype), summary.median);
  AddCaches(config, speed, dtype, &result);
  AddShares(cell, Mean(before, MeasurePeaks(spec.execution.threads)), &result);
  result.detail["peak_memory_bytes"] = peak_memory;
  result.stats = ToJson(summary, samples.stopped_by);
  result.samples.assign(samples.seconds.begin(), samples.seconds.end());
  return result;
}

}  // namespace

const CellKind& CheckpointSpeedCellKind() {
  static const CellKind kind = {
      "checkpoint_speed",
      "tokens per second of a checkpoint from disk",
      CheckpointSpeedFields,
      Normalize,
      [](const Cell&) { return true; },
      nullptr,
      Run,
      [](const Cell& cell) { CheckpointOf(ValuesOf(cell)); }};
  return kind;
}

}  // namespace rattn
