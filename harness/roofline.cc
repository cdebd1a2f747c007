#include "harness/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "harness/memory.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr std::array kTrafficNames = {
    StateTrafficName{StateTraffic::kKvHead, "kv-head",
                     "fp32 state per KV head, read and written"},
    StateTrafficName{StateTraffic::kQueryHead, "query-head",
                     "fp32 state per query head, read and written"},
    StateTrafficName{StateTraffic::kKvHeadReadBf16, "kv-head-bf16-read",
                     "bf16 state per KV head, read only"},
};

double StateBytesMoved(const LayerKindMemory& kind, StateTraffic traffic) {
  switch (traffic) {
    case StateTraffic::kKvHead:
      return 2.0 * kind.state_bytes;
    case StateTraffic::kQueryHead:
      return 2.0 * kind.state_bytes_per_query_head;
    case StateTraffic::kKvHeadReadBf16:
      return 0.5 * kind.state_bytes;
  }
  return 0;
}

// A layer without a local branch reads no window: of the keys that wait to be
// absorbed it touches one row per step.
double KeyBytesTouched(const ModelConfig& config, const LayerKindMemory& kind,
                       const StepOptions& options) {
  int64_t layer = 0;
  while (IsLocalLayer(config, layer) != (kind.kind == "local")) ++layer;
  if (HasLocal(LayerProblem(config, layer).spec)) return kind.kv_bytes;
  const double row = 2.0 * config.kv_heads * config.head_dim *
                     ByteSize(options.dtype) * kind.layers * options.batch;
  return std::min<double>(kind.kv_bytes, row);
}

struct Parameters {
  double used = 0;  // per token
  double read = 0;  // per step of the whole batch
  double resident = 0;
};

// The input table is looked up, not multiplied; the output table (the same one
// where embeddings are tied) is. With experts chosen evenly, a batch touches
// E * (1 - (1 - k/E)^B) of them.
Parameters CountUsed(const ModelConfig& config, double batch) {
  const ParameterCount count = CountParameters(config);
  const double head = static_cast<double>(config.vocab_size) * config.d_model;
  const double experts =
      static_cast<double>(count.total - count.active);  // of idle experts
  const double share =
      static_cast<double>(config.active_experts) / config.experts;
  Parameters parameters;
  parameters.used = count.active - count.embedding + head;
  parameters.resident = count.total;
  parameters.read = parameters.used;
  if (experts > 0) {
    const double touched = 1 - std::pow(1 - share, batch);
    parameters.read += experts * (touched - share) / (1 - share);
  }
  return parameters;
}

}  // namespace

std::span<const StateTrafficName> StateTrafficNames() { return kTrafficNames; }

std::string_view Name(StateTraffic traffic) {
  return kTrafficNames[static_cast<size_t>(traffic)].name;
}

StateTraffic ParseStateTraffic(const std::string& name) {
  std::vector<std::string> known;
  for (const StateTrafficName& entry : kTrafficNames) {
    if (entry.name == name) return entry.traffic;
    known.emplace_back(entry.name);
  }
  throw UserError(fmt::format("unknown state traffic \"{}\"{}", name,
                              NearestHint(name, known)));
}

StepTime PredictStep(const ModelConfig& config, const Hardware& hardware,
                     const StepOptions& options) {
  const ModelMemory memory =
      ComputeMemory(config, {
                                .context = options.context,
                                .batch = options.batch,
                                .dtype = options.dtype,
                                .measure = MeasureMemory::kNone,
                            });
  StepTime step;
  for (const LayerKindMemory& kind : memory.kinds) {
    step.cache_bytes += KeyBytesTouched(config, kind, options) +
                        StateBytesMoved(kind, options.traffic);
  }
  const Parameters parameters =
      CountUsed(config, static_cast<double>(options.batch));
  const double element = ByteSize(options.dtype);
  step.weight_bytes = parameters.read * element;
  step.flops = 2 * parameters.used * options.batch;
  step.cache_seconds = step.cache_bytes / hardware.memory_bandwidth;
  step.weight_seconds = step.weight_bytes / hardware.memory_bandwidth;
  step.compute_seconds = step.flops / hardware.bf16_flops;
  step.seconds =
      step.cache_seconds + std::max(step.compute_seconds, step.weight_seconds);
  step.resident_bytes =
      parameters.resident * element + memory.kv_bytes + memory.state_bytes;
  step.fits = step.resident_bytes <= hardware.memory_bytes;
  return step;
}

}  // namespace rattn
