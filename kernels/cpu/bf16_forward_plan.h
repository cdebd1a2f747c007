// How the softmax forward on bf16 tiles is cut into blocks, and what a thread
// works on. Rows of a query block form strips; a strip meets the keys block by
// block, a block piece by piece. While the tiles multiply one piece, the vector
// units turn the one before it into probabilities: scores and probabilities
// are therefore kept twice.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/branch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/softmax_plan.h"

namespace rattn {

// On a cache, where every walk packs the keys that it meets: a call never holds
// a copy of the cache.
inline constexpr int64_t kExtendRows = 1024;

// Longer walks pack less, as long as all threads have some. Rows do not depend
// on each other: neither do bits on this choice.
inline int64_t ForwardRows(const Problem& problem) {
  const int64_t rows = TileSizesOf(TilePath::kTiles, problem).forward_rows;
  if (problem.phase != Phase::kExtend) return rows;
  const Shape& shape = problem.shape;
  const int64_t all = shape.batch * shape.query_heads * shape.query_len;
  return std::clamp(RoundUp(all / (2 * problem.threads), kStripRows), rows,
                    std::max(rows, kExtendRows));
}

struct Bf16ForwardPlan {
  explicit Bf16ForwardPlan(const Problem& problem)
      : on_cache(problem.phase == Phase::kExtend),
        local(MakeLocalPlan(problem, ForwardRows(problem))),
        rows(RoundUp(local.rows, kStripRows)),
        depth(RoundUp(problem.shape.head_dim, 32)),
        value_dim(RoundUp(problem.shape.value_dim, 32)),
        groups((problem.shape.key_len + 31) / 32),
        heads(problem.shape.batch * problem.shape.kv_heads) {}

  bool on_cache;
  LocalPlan local;
  int64_t rows;              // of a query block, in whole strips
  int64_t depth, value_dim;  // padded
  int64_t groups;            // of 32 keys
  int64_t heads;             // KV heads of all sequences
};

// Keys and values as right operands, per group of 32 keys: K^T [2][depth / 32],
// V [value_dim / 16].
struct Bf16ForwardKeys {
  Bf16ForwardKeys(const Bf16ForwardPlan& plan, int64_t packed_groups,
                  Arena* arena) {
    keys = arena->Take<Bf16>(packed_groups * 32 * plan.depth);
    values = arena->Take<Bf16>(packed_groups * 32 * plan.value_dim);
  }
  Bf16* keys;
  Bf16* values;
};

// Of all heads, one after the other; nothing on a cache.
inline int64_t PackedGroups(const Bf16ForwardPlan& plan) {
  return plan.on_cache ? 0 : plan.heads * plan.groups;
}
// Of one thread on a cache: the keys of a block, and of the one before it,
// which may still wait to be multiplied.
inline constexpr int64_t kBlockGroups = kBlockKeys / 32;
inline int64_t OwnPackedGroups(const Bf16ForwardPlan& plan) {
  return plan.on_cache ? 2 * kBlockGroups : 0;
}

// Buffers of one thread.
struct Bf16ForwardScratch {
  Bf16ForwardScratch(const Bf16ForwardPlan& plan, Arena* arena)
      : own(plan, OwnPackedGroups(plan), arena) {
    const int64_t widest = std::max(plan.depth, plan.value_dim);
    staged = arena->Take<Bf16>(32 * widest);
    wide = arena->Take<float>(widest);
    query = arena->Take<Bf16>(plan.rows * plan.depth);
    for (int64_t i = 0; i < 2; ++i) {
      scores[i] = arena->Take<float>(kStripRows * kPieceKeys);
      probs[i] = arena->Take<Bf16>(kStripRows * kBlockKeys);
    }
    out = arena->Take<float>(plan.rows * plan.value_dim);
    sum = arena->Take<float>(plan.rows * 16);
    top = arena->Take<float>(plan.rows * 16);
    shift = arena->Take<float>(plan.rows);
    started = arena->Take<bool>(plan.rows / kStripRows);
  }
  Bf16ForwardKeys own;
  Bf16* staged;
  float* wide;
  Bf16* query;       // left operands [rows / 16][depth / 32]
  float* scores[2];  // result tiles [kStripRows / 16][kPieceKeys / 16]
  Bf16* probs[2];    // left operands [kStripRows / 16][kBlockKeys / 32]
  float* out;        // result tiles [rows / 16][value_dim / 16]
  float* sum;        // 16 partial sums per row of 2^(logit - shift)
  float* top;        // 16 maxima per row of the scores
  float* shift;      // base-2 logit, not kSlack below any that was seen
  bool* started;     // per strip: whether `out` holds anything
};

}  // namespace rattn
