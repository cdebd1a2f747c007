// How the softmax backward on bf16 tiles is cut into jobs, and what a job works
// on. A job meets the queries of one segment of the sequence with a range of
// keys and yields dQ, dK and dV of both in one pass over the scores (five
// products and one exponential per score, where separate passes for dQ and for
// dK, dV take seven and two). Jobs run in phases. Within a phase no two jobs of
// a head share queries or keys, so that nothing needs atomics, and phases
// follow each other in one order: the same bits for every thread count.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/branch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/softmax_plan.h"

namespace rattn {

struct BackwardJob {
  KeyRange queries;           // query indices
  KeyRange keys;              // begins at a multiple of 32
  bool adds_queries = false;  // dQ was begun in an earlier phase
};

struct Bf16BackwardPlan {
  explicit Bf16BackwardPlan(const Problem& problem)
      : local(MakeLocalPlan(
            problem, TileSizesOf(TilePath::kTiles, problem).backward_rows)),
        rows(RoundUp(local.rows, 32)),
        queries(problem.shape.query_len),
        keys(problem.shape.key_len),
        first_position(keys - queries),
        depth(RoundUp(problem.shape.head_dim, 32)),
        value_dim(RoundUp(problem.shape.value_dim, 32)),
        groups((keys + 31) / 32),
        heads(problem.shape.batch * problem.shape.kv_heads) {
    const int64_t reach = std::min(local.window, keys) - 1;
    // A window no wider than a segment: jobs take all keys of their queries,
    // those of even and of odd segments do not meet.
    band = reach <= kMostReach;
    segment =
        band ? std::max(RoundUp(std::max<int64_t>(reach, 1), 32), kLeastSegment)
             : kMostReach;
    first = std::max<int64_t>(first_position, 0) / segment;
    last = (keys - 1) / segment;
    phases = band ? std::min<int64_t>(2, last - first + 1)
                  : std::min(last, (reach + segment - 1) / segment) + 1;
  }

  int64_t Jobs(int64_t phase) const {
    if (band) return (last - first - phase) / 2 + 1;
    return last - std::max(first, phase) + 1;
  }

  BackwardJob Job(int64_t phase, int64_t index) const {
    const int64_t at =
        band ? first + phase + 2 * index : std::max(first, phase) + index;
    const int64_t begin = at * segment;
    BackwardJob job;
    job.queries = {std::max(begin - first_position, int64_t{0}),
                   std::min(begin + segment - first_position, queries)};
    if (band) {
      const int64_t reach = std::min(local.window, keys) - 1;
      job.keys = {std::max<int64_t>(begin - reach, 0) / 32 * 32,
                  std::min(begin + segment, keys)};
    } else {
      job.keys = {begin - phase * segment,
                  std::min(begin - phase * segment + segment, keys)};
      job.adds_queries = phase > 0;
    }
    return job;
  }

  // Most keys of a job.
  int64_t JobKeys() const {
    return std::min(band ? 2 * segment : segment, RoundUp(keys, 32));
  }

  static constexpr int64_t kLeastSegment = 512;
  static constexpr int64_t kMostReach = 1024;

  LocalPlan local;
  int64_t rows;  // of a step, in whole squares of 32
  int64_t queries, keys, first_position;
  int64_t depth, value_dim;  // padded
  int64_t groups;            // of 32 keys
  int64_t heads;             // KV heads of all sequences
  bool band;
  int64_t segment;      // positions
  int64_t first, last;  // segments that hold queries
  int64_t phases;
};

// Keys and values of all heads as left operands, per head and group of 32
// keys: K [2][depth / 32], K^T [depth / 16], V [2][value_dim / 32].
struct Bf16BackwardKeys {
  Bf16BackwardKeys(const Bf16BackwardPlan& plan, Arena* arena) {
    const int64_t rows = plan.heads * plan.groups * 32;
    keys = arena->Take<Bf16>(rows * plan.depth);
    turned_keys = arena->Take<Bf16>(rows * plan.depth);
    values = arena->Take<Bf16>(rows * plan.value_dim);
  }
  Bf16* keys;
  Bf16* turned_keys;
  Bf16* values;
};

// Buffers of one thread.
struct Bf16BackwardScratch {
  Bf16BackwardScratch(const Bf16BackwardPlan& plan, Arena* arena) {
    const int64_t widest = std::max(plan.depth, plan.value_dim);
    const int64_t square = plan.rows * kBackwardKeys;
    staged = arena->Take<Bf16>(plan.rows * widest);
    wide = arena->Take<float>(widest);
    query = arena->Take<Bf16>(plan.rows * plan.depth);
    deep_query = arena->Take<Bf16>(plan.rows * plan.depth);
    d_out = arena->Take<Bf16>(plan.rows * plan.value_dim);
    deep_d_out = arena->Take<Bf16>(plan.rows * plan.value_dim);
    lse = arena->Take<float>(plan.rows);
    delta = arena->Take<float>(plan.rows);
    scores = arena->Take<float>(32 * 32);
    d_probs = arena->Take<float>(32 * 32);
    probs = arena->Take<Bf16>(square);
    d_scores = arena->Take<Bf16>(square);
    deep_d_scores = arena->Take<Bf16>(square);
    dq = arena->Take<float>(plan.rows * plan.depth);
    dk = arena->Take<float>(plan.JobKeys() * plan.depth);
    dv = arena->Take<float>(plan.JobKeys() * plan.value_dim);
    rows = arena->Take<float>(16 * widest);
  }
  Bf16* staged;
  float* wide;
  Bf16* query;          // right operands [rows / 16][depth / 32]
  Bf16* deep_query;     // right operands [rows / 32][depth / 16]
  Bf16* d_out;          // as query
  Bf16* deep_d_out;     // as deep_query
  float* lse;           // base 2; +inf for rows without keys
  float* delta;         // dO . O
  float* scores;        // S^T of 32 keys x 32 rows, result tiles [2][2]
  float* d_probs;       // dP^T likewise
  Bf16* probs;          // P^T, left operands [keys / 16][rows / 32]
  Bf16* d_scores;       // dS^T, left operands [keys / 16][rows / 32]
  Bf16* deep_d_scores;  // dS^T, right operands [keys / 32][rows / 16]
  float* dq;            // dQ^T, result tiles [depth / 16][rows / 16]
  float* dk;            // result tiles [job keys / 16][depth / 16]
  float* dv;            // result tiles [job keys / 16][value_dim / 16]
  float* rows;          // 16 rows on their way out
};

// All that the jobs share.
struct Bf16BackwardCall {
  const LocalInputs& in;
  const Bf16BackwardPlan& plan;
  const Bf16BackwardKeys& packed;
  TensorView lse, out, d_out;
  const BranchGrads& grads;
};

}  // namespace rattn
