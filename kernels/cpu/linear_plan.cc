#include "kernels/cpu/linear_plan.h"

#include <algorithm>

#include "kernels/window.h"

namespace rattn {
namespace {

constexpr int64_t RoundUp(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}
constexpr int64_t FloorDiv(int64_t x, int64_t by) {
  return x >= 0 ? x / by : -((-x + by - 1) / by);
}

// Floats of a cache line: rows of blocks start on lines.
constexpr int64_t kLine = 16;

void PlaceChunks(const Problem& p, const TileSizes& sizes, MemoryPlan* plan) {
  // A delay beyond all keys reads nothing, however long it is.
  const int64_t delay = std::min(MemoryDelay(p.spec), plan->keys);
  plan->tokens = plan->keys - delay;
  plan->shift = plan->keys - plan->queries - delay;
  const int64_t length = std::max(plan->queries, plan->keys);
  plan->chunk = std::min(sizes.chunk, length);
  plan->chunk_ld = RoundUp(plan->chunk, kLine);
  plan->first_chunk = FloorDiv(std::min<int64_t>(plan->shift, 0), plan->chunk);
  plan->chunks =
      FloorDiv(plan->tokens + plan->chunk - 1, plan->chunk) - plan->first_chunk;
  plan->every = std::min(sizes.state_every, plan->chunks);
  plan->segments = (plan->chunks + plan->every - 1) / plan->every;
}

}  // namespace

HeadRange MemoryPlan::readers(int64_t kv, int64_t stream) const {
  const int64_t count = group / streams;
  const int64_t begin = (kv * streams + stream) * count;
  HeadRange range = {std::max(begin, heads.begin),
                     std::min(begin + count, heads.end)};
  range.end = std::max(range.begin, range.end);
  return range;
}

MemoryPlan MakeMemoryPlan(const Problem& p, TilePath path) {
  MemoryPlan plan = {};
  plan.batch = p.shape.batch;
  plan.kv_heads = p.shape.kv_heads;
  plan.group = GroupSize(p.shape);
  plan.heads = MemoryHeads(p.spec, p.shape.query_heads);
  plan.streams = p.state_per_query_head ? plan.group : 1;
  plan.head_dim = p.shape.head_dim;
  plan.features = FeatureDim(p);
  plan.value_dim = p.shape.value_dim;
  plan.columns =
      plan.value_dim + (p.spec.memory.normalizer == Normalizer::kSum ? 1 : 0);
  plan.state_ld = RoundUp(plan.columns, kLine);
  plan.queries = p.shape.query_len;
  plan.keys = p.shape.key_len;
  PlaceChunks(p, TileSizesOf(path, p), &plan);
  const int64_t tasks = plan.heads_of_kv();
  const int64_t threads = p.threads;
  const bool uneven = tasks % threads != 0 && tasks < 4 * threads;
  plan.split_segments = uneven && plan.segments > 1;
  plan.workers =
      std::min(threads, plan.split_segments ? tasks * plan.segments : tasks);
  return plan;
}

MemoryChunk ChunkAt(const MemoryPlan& plan, int64_t c) {
  const int64_t begin = (plan.first_chunk + c) * plan.chunk;
  const int64_t end = begin + plan.chunk;
  const int64_t token_begin = std::clamp<int64_t>(begin, 0, plan.tokens);
  const int64_t token_end = std::clamp<int64_t>(end, 0, plan.tokens);
  const int64_t last = plan.shift + plan.queries;
  const int64_t place_begin = std::clamp(begin, plan.shift, last);
  const int64_t place_end = std::clamp(end, plan.shift, last);
  return {token_begin, token_end - token_begin, place_begin - plan.shift,
          place_end - place_begin, place_begin - begin};
}

}  // namespace rattn
