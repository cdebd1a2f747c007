#include "harness/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "harness/mixer_fields.h"
#include "harness/process_memory.h"
#include "harness/text_format.h"
#include "kernels/catalog.h"
#include "kernels/cost.h"
#include "kernels/kv_cache.h"
#include "kernels/nearest_name.h"
#include "kernels/window.h"
#include "models/error.h"

namespace rattn {
namespace {

// Left for everything else when memory is allocated to be measured.
constexpr double kShareOfAvailable = 0.8;

Problem CacheProblem(const ModelConfig& config, int64_t layer,
                     const MemoryOptions& options) {
  Problem problem = LayerProblem(config, layer);
  problem.phase = Phase::kDecode;
  problem.dtype = options.dtype;
  problem.shape.batch = options.batch;
  // What the variant must keep: the few tokens that decoding lets wait beside
  // a state are a choice of speed (kernels/kv_cache.h).
  problem.tiling.absorb_every = 1;
  return problem;
}

void CheckSizes(const ModelConfig& config, const MemoryOptions& options) {
  for (const auto& [name, value] :
       {std::pair{"context", options.context}, {"batch", options.batch}}) {
    if (value < 1) {
      throw UserError(
          fmt::format("{} must be at least 1, not {}", name, value));
    }
  }
  // The largest thing counted is full attention in all layers.
  int64_t bytes = 1;
  bool fits = true;
  for (const int64_t factor :
       {options.context, options.batch, config.layers, config.query_heads,
        config.head_dim, int64_t{2 * 8}}) {
    fits = fits && !__builtin_mul_overflow(bytes, factor, &bytes);
  }
  if (!fits) {
    throw UserError(
        fmt::format("context {} with batch {} is more than 2^63 bytes of cache",
                    options.context, options.batch));
  }
}

int64_t AllocatedEstimate(const LayerKindMemory& kind, int64_t copies) {
  return (kind.kv_bytes + kind.state_bytes) / kind.layers * copies;
}

// The problem with no more ring slots than `tokens` can fill: a window longer
// than the context is no reason to hold more than the context.
Problem Filled(Problem problem, int64_t tokens) {
  MixerSpec& spec = problem.spec;
  const int64_t beside_sinks =
      std::max<int64_t>(tokens - SinkCount(spec.local), 1);
  spec.local.window_keys = std::min(spec.local.window_keys, beside_sinks);
  spec.memory_window_keys = std::min(spec.memory_window_keys, tokens);
  return problem;
}

// Allocates caches for `options.context` tokens and counts their bytes.
void Measure(const Problem& problem, const MemoryOptions& options,
             LayerKindMemory* kind, std::vector<KvCache>* held) {
  const int64_t copies =
      options.measure == MeasureMemory::kAll ? kind->layers : 1;
  const int64_t needed = AllocatedEstimate(*kind, copies);
  const int64_t available = AvailableMemory();
  if (static_cast<double>(needed) > kShareOfAvailable * available) {
    kind->reason =
        fmt::format("not measured: {} needed, {} of memory available",
                    FormatBytes(needed), FormatBytes(available));
    return;
  }
  int64_t kv = 0, state = 0;
  const Problem filled = Filled(problem, options.context);
  try {
    for (int64_t i = 0; i < copies; ++i) {
      KvCache& cache = held->emplace_back(filled);
      cache.Reserve(options.context);
      kv += static_cast<int64_t>(cache.KvBytes());
      state += static_cast<int64_t>(cache.StateBytes());
    }
  } catch (const std::bad_alloc&) {
    kind->reason = "not measured: the allocation failed";
    return;
  }
  kind->measured_kv_bytes = kv * (kind->layers / copies);
  kind->measured_state_bytes = state * (kind->layers / copies);
}

LayerKindMemory KindMemory(const ModelConfig& config, bool local,
                           const MemoryOptions& options,
                           std::vector<KvCache>* held) {
  LayerKindMemory kind;
  kind.kind = local ? "local" : "global";
  int64_t first = 0;
  for (int64_t i = config.layers - 1; i >= 0; --i) {
    if (IsLocalLayer(config, i) != local) continue;
    ++kind.layers;
    first = i;
  }
  if (kind.layers == 0) return kind;
  const MixerConfig& mixer = LayerMixer(config, first);
  const Problem problem = CacheProblem(config, first, options);
  kind.variant = mixer.variant;
  if (FindVariant(mixer.variant)->takes_window) {
    kind.window_keys = mixer.window_keys;
  }
  const CacheBytes bytes = LayerCacheBytes(problem, options.context);
  kind.kv_bytes = kind.layers * bytes.kv;
  kind.state_bytes = kind.layers * bytes.state;
  kind.state_bytes_per_query_head =
      kind.state_bytes *
      (problem.state_per_query_head ? 1 : GroupSize(problem.shape));
  if (options.measure == MeasureMemory::kNone) {
    kind.reason = "not measured: not asked for";
  } else {
    Measure(problem, options, &kind, held);
  }
  return kind;
}

int64_t FullBytes(const ModelConfig& config, const MemoryOptions& options) {
  return 2 * options.context * options.batch * config.kv_heads *
         config.head_dim * static_cast<int64_t>(ByteSize(options.dtype)) *
         config.layers;
}

// Sums over the kinds; measured sums only where every kind was measured.
void AddUp(ModelMemory* memory) {
  memory->measured_kv_bytes = memory->measured_state_bytes = 0;
  for (const LayerKindMemory& kind : memory->kinds) {
    memory->kv_bytes += kind.kv_bytes;
    memory->state_bytes += kind.state_bytes;
    memory->state_bytes_per_query_head += kind.state_bytes_per_query_head;
    if (kind.measured_kv_bytes && memory->measured_kv_bytes) {
      *memory->measured_kv_bytes += *kind.measured_kv_bytes;
      *memory->measured_state_bytes += *kind.measured_state_bytes;
    } else if (!kind.measured_kv_bytes) {
      memory->measured_kv_bytes.reset();
      memory->measured_state_bytes.reset();
      memory->reason = kind.reason;
    }
  }
}

void AddWindowFacts(const ModelConfig& config, ModelMemory* memory) {
  const LayerKindMemory& local = memory->kinds.front();
  if (local.kind != "local" || !local.window_keys) return;
  const int64_t window = *local.window_keys;
  memory->prefill_chunks = (memory->options.context + window - 1) / window;
  const MixerSpec spec = LayerProblem(config, 0).spec;
  if (memory->kinds.size() == 1 && !HasMemory(spec) &&
      SinkCount(spec.local) == 0) {
    memory->receptive_field = ReceptiveField(local.layers, window);
  }
}

}  // namespace

double SavedPercent(double used, double full) {
  return 100 * (1 - used / full);
}

ModelMemory ComputeMemory(const ModelConfig& config,
                          const MemoryOptions& options) {
  CheckSizes(config, options);
  ModelMemory memory;
  memory.options = options;
  std::vector<KvCache> held;
  for (const bool local : {true, false}) {
    LayerKindMemory kind = KindMemory(config, local, options, &held);
    if (kind.layers > 0) memory.kinds.push_back(std::move(kind));
    if (options.measure == MeasureMemory::kLayer) held.clear();
  }
  memory.full_kv_bytes = FullBytes(config, options);
  AddUp(&memory);
  AddWindowFacts(config, &memory);
  return memory;
}

ModelConfig WithLocal(ModelConfig config, const LocalOverride& change) {
  for (const std::string& kind : change.pattern) {
    if (kind != "local" && kind != "global") {
      throw UserError(fmt::format("pattern: unknown kind \"{}\"{}", kind,
                                  NearestHint(kind, {"local", "global"})));
    }
  }
  if (!change.pattern.empty()) config.pattern = change.pattern;
  const bool changes_local =
      !change.variant.empty() || change.window_keys || change.sinks;
  const bool has_local = std::find(config.pattern.begin(), config.pattern.end(),
                                   "local") != config.pattern.end();
  if (changes_local && !has_local) {
    throw UserError(fmt::format(
        "model {} has no local layers to change: give a pattern with some "
        "(--pattern local,local,local,global)",
        config.name));
  }
  // A model whose local layers were never described gets windows.
  if (change.window_keys && change.variant.empty() &&
      !FindVariant(config.local.variant)->takes_window) {
    config.local.variant = "swa";
  }
  if (!change.variant.empty()) {
    const Variant& variant = GetVariant(change.variant, "local layers");
    config.local.variant = change.variant;
    if (!variant.takes_window) config.local.window_keys = 0;
  }
  if (change.window_keys) config.local.window_keys = *change.window_keys;
  if (change.sinks) config.local.sinks = *change.sinks;
  for (int64_t i = 0; i < config.layers; ++i) LayerProblem(config, i);
  return config;
}

}  // namespace rattn
