// Scratch memory of chunkwise linear attention: blocks of one worker, and the
// states kept at the beginnings of segments. Sizes follow from the plan.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/linear_plan.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_sizes.h"

namespace rattn {

// Tokens of a chunk. C chunk, F features, `_t` transposed.
struct TokenBlock {
  TokenBlock(const MemoryPlan& p, Arena* a)
      : row(a->Take<float>(std::max(p.head_dim, p.value_dim))),
        keys(a->Take<float>(p.chunk * p.features)),
        keys_t(a->Take<float>(p.features * p.chunk_ld)),
        values(a->Take<float>(p.chunk * p.state_ld)),
        sum(a->Take<float>(p.state_size())),
        state(a->Take<float>(p.state_size())) {}

  float* row;
  float* keys;    // phi(k) [C, F]
  float* keys_t;  // [F, chunk_ld]
  float* values;  // [C, state_ld]
  float* sum;     // a segment's sum so far [F, state_ld]
  float* state;   // running state [F, state_ld]
};

struct ForwardWorker : TokenBlock {
  ForwardWorker(const MemoryPlan& p, Arena* a)
      : TokenBlock(p, a),
        queries(a->Take<float>(p.chunk * p.features)),
        read(a->Take<float>(p.chunk * p.state_ld)),
        scores(a->Take<float>(kScoreRows * p.chunk_ld)),
        chunk_state(a->Take<float>(p.state_size())) {}

  float* queries;      // phi(q) [C, F]
  float* read;         // outputs [C, state_ld]
  float* scores;       // [kScoreRows, chunk_ld]
  float* chunk_state;  // state before a chunk [F, state_ld]
};

struct BackwardWorker : TokenBlock {
  BackwardWorker(const MemoryPlan& p, Arena* a)
      : TokenBlock(p, a),
        values_t(a->Take<float>(p.columns * p.chunk_ld)),
        queries(a->Take<float>(p.chunk * p.features)),
        scores(a->Take<float>(kScoreRows * p.chunk_ld)),
        d_scores(a->Take<float>(kScoreRows * p.chunk_ld)),
        d_read(a->Take<float>(p.chunk * p.state_ld)),
        d_queries(a->Take<float>(p.chunk * p.features)),
        d_keys(a->Take<float>(p.chunk * p.features)),
        d_values(a->Take<float>(p.chunk * p.state_ld)),
        chunk_states(a->Take<float>((p.every - 1) * p.state_size())),
        state_t(a->Take<float>(p.columns * p.features)),
        d_state(a->Take<float>(p.state_size())),
        d_sum(a->Take<float>(p.state_size())),
        d_chunk_state(a->Take<float>(p.state_size())) {}

  float* values_t;       // [columns, chunk_ld]
  float* queries;        // phi(q) [C, F]
  float* scores;         // [kScoreRows, chunk_ld]
  float* d_scores;       // [kScoreRows, chunk_ld]
  float* d_read;         // [C, state_ld]
  float* d_queries;      // of phi(q) [C, F]
  float* d_keys;         // of phi(k) [C, F]
  float* d_values;       // [C, state_ld]
  float* chunk_states;   // before chunks 1..m-1 of a segment
  float* state_t;        // [columns, F]
  float* d_state;        // running gradient of the state
  float* d_sum;          // what a segment's queries add to it
  float* d_chunk_state;  // gradient of the state after a chunk
};

// One token per sequence. G group.
struct StepWorker {
  // Whole pairs of columns (decode_rows-inl.h) on every instruction set.
  static int64_t ReadWidth(int64_t value_dim) {
    return (value_dim + 31) / 32 * 32;
  }

  StepWorker(const MemoryPlan& p, Arena* a)
      : row(a->Take<float>(std::max(p.head_dim, p.value_dim))),
        keys(a->Take<float>(p.features)),
        values(a->Take<float>(p.value_dim)),
        key_sum(a->Take<float>(p.features)),
        queries(a->Take<float>(p.group * p.features)),
        read(a->Take<float>(p.group * ReadWidth(p.value_dim))),
        state(a->Take<float>(p.state_size())) {}

  float* row;
  float* keys;     // phi(k) [F]
  float* values;   // [Dv]
  float* key_sum;  // [F]
  float* queries;  // phi(q) [G, F]
  float* read;     // [G, width of Dv]
  float* state;    // zeros where no state is kept [F, state_ld]
};

// `Worker` blocks for every worker, and `kept` states per segment for each of
// `slots` owners.
template <typename Worker>
class MemoryScratch {
 public:
  MemoryScratch(const MemoryPlan& plan, int64_t slots, Arena* arena)
      : plan_(plan) {
    Arena counter(nullptr);
    Worker(plan, &counter);
    worker_floats_ = (counter.used() + 63) / 64 * 16;
    workers_ = arena->Take<float>(plan.workers * worker_floats_);
    kept_ = arena->Take<float>(slots * plan.segments * plan.state_size());
  }

  Worker worker(int index) const {
    Arena arena(workers_ + index * worker_floats_);
    return Worker(plan_, &arena);
  }
  float* kept(int64_t slot, int64_t segment) const {
    return kept_ + (slot * plan_.segments + segment) * plan_.state_size();
  }

 private:
  const MemoryPlan& plan_;
  int64_t worker_floats_ = 0;
  float* workers_ = nullptr;
  float* kept_ = nullptr;
};

struct StepScratch : MemoryScratch<StepWorker> {
  StepScratch(const MemoryPlan& plan, Arena* arena)
      : MemoryScratch(plan, 0, arena) {}
};

// Forward: states are kept only where the segments of a head are shared out.
struct ForwardScratch : MemoryScratch<ForwardWorker> {
  ForwardScratch(const MemoryPlan& plan, Arena* arena)
      : MemoryScratch(
            plan, plan.split_segments ? plan.heads_of_kv() * plan.streams : 0,
            arena) {}
};

// Backward: the states of a head are kept while it is worked on, and where
// segments are shared out the gradients of all states too.
struct BackwardScratch : MemoryScratch<BackwardWorker> {
  BackwardScratch(const MemoryPlan& plan, Arena* arena)
      : MemoryScratch(plan, Slots(plan), arena),
        denominators(arena->Take<float>(plan.columns > plan.value_dim
                                            ? plan.batch * plan.group *
                                                  plan.kv_heads * plan.queries
                                            : 0)) {}

  static int64_t Slots(const MemoryPlan& plan) {
    return plan.split_segments ? 2 * plan.heads_of_kv() * plan.streams
                               : plan.workers;
  }

  float* denominators;  // [B, Hq, Tq], with Normalizer::kSum
};

}  // namespace rattn
