// Shared by the passes of the softmax branch: what they read and how they cut
// it into blocks. A query block holds a few positions x all query heads of a
// KV head, so that a tile of K and V serves the whole group; rows of a block
// are ordered by position, heads fastest.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/rope.h"
#include "kernels/cpu/tile_sizes.h"
#include "kernels/kv_cache.h"
#include "kernels/problem.h"
#include "kernels/window.h"

namespace rattn {

// Where the key or value row of position t lies: in `view` from position
// `begin` on, in the cache before it.
struct KeySource {
  TensorView view;
  int64_t begin = 0;
  const KvCache* cache = nullptr;
  Dtype cache_dtype = Dtype::kF32;
  bool values = false;

  const void* CacheRow(int64_t b, int64_t h, int64_t t) const {
    return values ? cache->Value(b, h, t) : cache->Key(b, h, t);
  }
};

// Tokens from t on whose cache rows follow each other in memory.
inline int64_t ContiguousRun(const KvCache& cache, int64_t t) {
  if (t < cache.sinks()) return cache.sinks() - t;
  const int64_t ring = cache.ring_slots();
  if (ring > 0) return ring - (t - cache.sinks()) % ring;
  return kPageTokens - t % kPageTokens;
}

struct LocalInputs {
  const Problem* problem = nullptr;
  TensorView q;
  TensorView sink_logit;
  KeySource k, v;              // keys are rotated already
  int64_t first_position = 0;  // of query 0
  RopeTable rope;              // rows for the positions of all queries
  RopeTable sink_rope;         // one row, SinkPositions::kSlot only
};

inline constexpr int64_t kMaxLanes = 16;

struct LocalPlan {
  int64_t window = 0;
  int64_t sinks = 0;
  int64_t group = 1;
  int64_t positions = 1;  // of one query block
  int64_t blocks = 1;     // query blocks of a sequence
  int64_t rows = 1;       // most rows of a block, rounded up to full vectors
  bool slot_sinks = false;
};

inline int64_t RoundUp(int64_t x, int64_t step) {
  return (x + step - 1) / step * step;
}

// A block touches window + positions - 1 keys: blocks stay well below the
// window, but for full vectors, and below what the L1 cache holds.
inline LocalPlan MakeLocalPlan(const Problem& problem, int64_t most_rows) {
  const Shape& shape = problem.shape;
  LocalPlan plan;
  plan.window = LocalWindow(problem.spec.local);
  plan.sinks = SinkCount(problem.spec.local);
  plan.slot_sinks = plan.sinks > 0 &&
                    problem.spec.local.sink_positions == SinkPositions::kSlot &&
                    problem.positions.rope;
  plan.group = GroupSize(shape);
  const int64_t half_window =
      std::min(plan.window, std::max<int64_t>(shape.key_len, most_rows)) / 2;
  const int64_t rows = std::min(
      RoundUp(std::max<int64_t>(half_window * plan.group, 1), kMaxLanes),
      most_rows);
  plan.positions = std::clamp<int64_t>(rows / plan.group, 1, shape.query_len);
  plan.blocks = (shape.query_len + plan.positions - 1) / plan.positions;
  plan.rows = RoundUp(plan.positions * plan.group, kMaxLanes);
  return plan;
}

// Of the passes on vectors.
inline LocalPlan MakeLocalPlan(const Problem& problem) {
  return MakeLocalPlan(problem,
                       TileSizesOf(TilePath::kVectors, problem).forward_rows);
}

inline double LocalScale(const Problem& problem) {
  return problem.local_scale != 0
             ? problem.local_scale
             : 1 / std::sqrt(static_cast<double>(problem.shape.head_dim));
}

// Of base-2 logits, as scores are kept; 0: none.
inline float Softcap2(const Problem& problem) {
  return static_cast<float>(problem.local_softcap * M_LOG2E);
}

// Query heads of KV head `kv_head` that the local branch computes.
inline HeadRange GroupHeads(const Problem& problem, int64_t kv_head) {
  const int64_t group = GroupSize(problem.shape);
  const HeadRange all = LocalHeads(problem.spec, problem.shape.query_heads);
  return {std::max(kv_head * group, all.begin),
          std::min((kv_head + 1) * group, all.end)};
}

// Rows of one query block.
struct QueryBlock {
  int64_t b = 0;
  int64_t kv_head = 0;
  HeadRange heads;
  int64_t begin = 0;  // query indices [begin, end)
  int64_t end = 0;
  int64_t first_position = 0;  // of query `begin`
  int64_t rows = 0;
  int64_t padded = 0;  // rows rounded up to full vectors

  int64_t last_position() const { return first_position + end - begin; }
};

// Tasks of a pass over query blocks: every block of every KV head of every
// sequence, the longest contexts first. Blocks without local heads are empty.
inline int64_t BlockTasks(const Problem& problem, const LocalPlan& plan) {
  return problem.shape.batch * problem.shape.kv_heads * plan.blocks;
}
// Queries [begin, end), at most plan.positions.
inline QueryBlock BlockOf(const LocalInputs& in, int64_t b, int64_t kv_head,
                          int64_t begin, int64_t end) {
  QueryBlock block;
  block.b = b;
  block.kv_head = kv_head;
  block.heads = GroupHeads(*in.problem, kv_head);
  block.begin = begin;
  block.end = end;
  block.first_position = in.first_position + block.begin;
  block.rows =
      (block.end - block.begin) * std::max<int64_t>(block.heads.size(), 0);
  block.padded = RoundUp(block.rows, kMaxLanes);
  return block;
}
inline QueryBlock MakeBlock(const LocalInputs& in, const LocalPlan& plan,
                            int64_t b, int64_t kv_head, int64_t index) {
  const int64_t begin = index * plan.positions;
  return BlockOf(in, b, kv_head, begin,
                 std::min(begin + plan.positions, in.problem->shape.query_len));
}
inline QueryBlock BlockOfTask(const LocalInputs& in, const LocalPlan& plan,
                              int64_t task) {
  const int64_t head = task / plan.blocks;
  const int64_t kv_heads = in.problem->shape.kv_heads;
  return MakeBlock(in, plan, head / kv_heads, head % kv_heads,
                   plan.blocks - 1 - task % plan.blocks);
}

// Sink keys and window keys that the block sees: disjoint, so that a sink
// inside the window is counted once.
inline KeyRange SinkKeys(const LocalPlan& plan, const QueryBlock& block) {
  return {0, std::min(plan.sinks, block.last_position())};
}
inline KeyRange WindowKeys(const LocalPlan& plan, const QueryBlock& block) {
  KeyRange range = BlockWindowRange(block.first_position, block.last_position(),
                                    plan.window);
  range.begin = std::max(range.begin, plan.sinks);
  return range;
}

// Visibility of key `first + k` from a row at position first_position + r:
// low < k - r <= high. Tiles that every row sees whole need no mask.
struct TileMask {
  bool needed = false;
  int32_t low = 0;
  int32_t high = 0;
};
inline TileMask MaskOf(const QueryBlock& block, int64_t first, int64_t count,
                       int64_t window) {
  constexpr int64_t kFar = int64_t{1} << 30;
  const int64_t high = block.first_position - first;
  TileMask mask;
  mask.needed = first + count > block.first_position + 1 ||
                first < block.last_position() - window;
  mask.low = static_cast<int32_t>(std::clamp(high - window, -kFar, kFar));
  mask.high = static_cast<int32_t>(std::clamp(high, -kFar, kFar));
  return mask;
}

}  // namespace rattn
