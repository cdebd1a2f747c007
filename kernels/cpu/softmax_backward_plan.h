// How the backward passes of the softmax branch are cut into tasks, and what a
// task works on.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/branch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/softmax_plan.h"

namespace rattn {

inline LocalPlan BackwardLocalPlan(const Problem& problem) {
  return MakeLocalPlan(problem,
                       TileSizesOf(TilePath::kVectors, problem).backward_rows);
}

struct BackwardPlan {
  LocalPlan local;
  bool single_pass = false;
  int64_t block_keys = 0;
  int64_t key_blocks = 0;  // of the keys after the sinks
  int64_t segment_blocks = 0;
  int64_t segments = 0;  // for the sinks; 0 without any
};

inline BackwardPlan MakeBackwardPlan(const Problem& problem) {
  const int64_t keys = problem.shape.key_len;
  BackwardPlan plan;
  plan.local = BackwardLocalPlan(problem);
  plan.single_pass = keys <= kKeyBlock;
  plan.block_keys = std::min(keys, kKeyBlock);
  if (plan.single_pass) {
    plan.key_blocks = 1;
    return plan;
  }
  const int64_t sinks = std::min(plan.local.sinks, keys);
  plan.key_blocks = (keys - sinks + kKeyBlock - 1) / kKeyBlock;
  plan.segment_blocks =
      std::max<int64_t>(kSinkSegment / plan.local.positions, 1);
  if (sinks > 0) {
    plan.segments =
        (plan.local.blocks + plan.segment_blocks - 1) / plan.segment_blocks;
  }
  return plan;
}

// What a task accumulates into; null pointers are not wanted. dk and dv start
// at key `first_key`.
struct Accumulators {
  float* dq = nullptr;  // [rows, D]
  float* dk = nullptr;  // [keys, D], lacking a factor ln 2
  float* dv = nullptr;  // [keys, Dv]
  int64_t first_key = 0;
};

// Buffers of one thread.
struct BackwardScratch {
  float* query_rows;  // [rows, D], scaled to base-2 logits; O before that
  float* query;       // the same transposed
  float* d_out_rows;  // [rows, Dv]
  float* d_out;       // the same transposed
  float* keys;        // [kKeyTile, D]
  float* values;      // [kKeyTile, Dv]
  float* probs;       // P^T [kKeyTile, rows]
  float* d_scores;    // dS^T [kKeyTile, rows]
  float* dq;          // [rows, D]
  float* dk;          // [block_keys, D]
  float* dv;          // [block_keys, Dv]
  float* lse;         // [rows], base 2; +inf for rows without keys
  float* delta;       // [rows] dO . O
  int32_t* positions;
};

inline BackwardScratch TakeBackwardScratch(const Problem& problem,
                                           Arena* arena) {
  const int64_t rows = BackwardLocalPlan(problem).rows;
  const int64_t keys = std::min(problem.shape.key_len, kKeyBlock);
  const int64_t dim = problem.shape.head_dim;
  const int64_t value_dim = problem.shape.value_dim;
  BackwardScratch s;
  s.query_rows = arena->Take<float>(rows * std::max(dim, value_dim));
  s.query = arena->Take<float>(rows * std::max(dim, value_dim));
  s.d_out_rows = arena->Take<float>(rows * value_dim);
  s.d_out = arena->Take<float>(rows * value_dim);
  s.keys = arena->Take<float>(kKeyTile * dim);
  s.values = arena->Take<float>(kKeyTile * value_dim);
  s.probs = arena->Take<float>(kKeyTile * rows);
  s.d_scores = arena->Take<float>(kKeyTile * rows);
  s.dq = arena->Take<float>(rows * dim);
  s.dk = arena->Take<float>(keys * dim);
  s.dv = arena->Take<float>(keys * value_dim);
  s.lse = arena->Take<float>(rows);
  s.delta = arena->Take<float>(rows);
  s.positions = arena->Take<int32_t>(rows);
  return s;
}

// Partial gradients of the sinks, per sequence, KV head and segment.
struct SinkPartials {
  float* dk = nullptr;
  float* dv = nullptr;
};

inline SinkPartials TakeSinkPartials(const Problem& problem, Arena* arena) {
  const BackwardPlan plan = MakeBackwardPlan(problem);
  const int64_t rows = problem.shape.batch * problem.shape.kv_heads *
                       plan.segments * plan.local.sinks;
  return {arena->Take<float>(rows * problem.shape.head_dim),
          arena->Take<float>(rows * problem.shape.value_dim)};
}

inline size_t BackwardScratchBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) { TakeBackwardScratch(problem, arena); });
}

// All that the passes share.
struct BackwardCall {
  const LocalInputs& in;
  const BackwardPlan plan;
  const TensorView lse, out, d_out;
  const BranchGrads& grads;
};

}  // namespace rattn
