// Sizes and scratch memory of linear attention on bf16 tiles.
//
// States are transposed, [Dv, F]: then phi(k) in rows is the right operand of
// the state's update and of dphi(q), and a state is a right operand of either
// orientation after one pass over it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/cpu/linear_scratch.h"
#include "kernels/cpu/tile_sizes.h"

namespace rattn {

struct Bf16LinearPlan : MemoryPlan {
  explicit Bf16LinearPlan(const Problem& problem);

  int64_t places;  // C in whole strips
  int64_t depth;   // F in multiples of 32
  int64_t width;   // Dv in multiples of 32

  int64_t state_floats() const { return depth * width; }
  int64_t strips() const { return places / kStrip; }
};

// Tokens of a chunk, C places.
struct Bf16TokenBlock {
  Bf16TokenBlock(const Bf16LinearPlan& p, Arena* a)
      : row(a->Take<float>(std::max(p.depth, p.width))),
        phi(a->Take<float>(std::max(p.depth, p.width))),
        keys(a->Take<Bf16>(p.places * p.depth)),
        values(a->Take<Bf16>(p.places * p.width)),
        values_t(a->Take<Bf16>(p.places * p.width)),
        state_rows(a->Take<Bf16>((p.width + p.places) * p.depth)),
        sum(a->Take<float>(p.state_floats())),
        state(a->Take<float>(p.state_floats())) {}

  int index = 0;  // of the worker
  float* row;
  float* phi;
  Bf16* keys;        // phi(k) [C, F]
  Bf16* values;      // [C, Dv]
  Bf16* values_t;    // left [Dv / 16][C / 32]
  Bf16* state_rows;  // right [Dv / 32 + C / 32][F / 16]: state, then phi(k)
  float* sum;        // a segment's sum so far [Dv / 16][F / 16]
  float* state;      // running state [Dv / 16][F / 16]
};

struct Bf16ForwardWorker : Bf16TokenBlock {
  Bf16ForwardWorker(const Bf16LinearPlan& p, Arena* a)
      : Bf16TokenBlock(p, a),
        key_columns(a->Take<Bf16>(p.places * p.depth)),
        read(a->Take<Bf16>((p.depth + p.places) * p.width)),
        queries(
            a->Take<Bf16>(p.group / p.streams * kStrip * (p.depth + p.places))),
        scores(a->Take<float>(kStrip * p.places)),
        out(a->Take<float>(p.group / p.streams * kStrip * p.width)) {}

  Bf16* key_columns;  // phi(k)^T, right [C / 16][F / 32]
  Bf16* read;         // right [F / 32 + C / 32][Dv / 16]: state, then v
  Bf16* queries;      // left [heads][2][F / 32 + C / 32]: phi(q), then scores
  float* scores;      // [2][C / 16]
  float* out;         // [heads][2][Dv / 16]
};

// Rows: kBlockRows queries of one head.
struct Bf16BackwardWorker : Bf16TokenBlock {
  Bf16BackwardWorker(const Bf16LinearPlan& p, Arena* a)
      : Bf16TokenBlock(p, a),
        key_left(a->Take<Bf16>(p.places * p.depth)),
        value_left(a->Take<Bf16>(p.places * p.width)),
        value_columns(a->Take<Bf16>(p.places * p.width)),
        queries(a->Take<Bf16>(p.group / p.streams * kBlockRows * p.depth)),
        query_columns(a->Take<Bf16>(kBlockRows * p.depth)),
        query_rows(a->Take<Bf16>(kBlockRows * p.depth)),
        d_read(a->Take<Bf16>(p.group / p.streams * kBlockRows * p.width)),
        d_read_low(a->Take<Bf16>(p.group / p.streams * kBlockRows * p.width)),
        low_left(a->Take<Bf16>(kStrip * p.width)),
        read_rows(a->Take<Bf16>(kBlockRows * p.width)),
        read_left(a->Take<Bf16>(kBlockRows * (p.width + p.places))),
        read_t(a->Take<Bf16>(kBlockRows * p.width)),
        scores_t(a->Take<Bf16>(kStrip * kBlockRows)),
        d_scores_t(a->Take<Bf16>(kBlockRows * p.places)),
        d_state_rows(a->Take<Bf16>(p.state_floats())),
        d_state_columns(a->Take<Bf16>(p.state_floats())),
        chunk_states(a->Take<Bf16>((p.every - 1) * p.state_floats())),
        scores(a->Take<float>(kStrip * std::max(p.places, kBlockRows))),
        d_phi(a->Take<float>(p.depth)),
        d_queries(a->Take<float>(kStrip * p.depth)),
        d_keys(a->Take<float>(p.places * p.depth)),
        d_values(a->Take<float>(p.places * p.width)),
        d_state(a->Take<float>(p.state_floats())),
        d_sum(a->Take<float>(p.state_floats())) {}

  Bf16* key_left;         // phi(k), left [C / 16][F / 32]
  Bf16* value_left;       // v, left [C / 16][Dv / 32]
  Bf16* value_columns;    // v^T, right [C / 16][Dv / 32]
  Bf16* queries;          // phi(q) [heads][rows, F]
  Bf16* query_columns;    // phi(q)^T, right [rows / 16][F / 32]
  Bf16* query_rows;       // phi(q), right [rows / 32][F / 16]
  Bf16* d_read;           // R [heads][rows, Dv]
  Bf16* d_read_low;       // what rounding took off R
  Bf16* low_left;         // of one strip, left [2][Dv / 32]
  Bf16* read_rows;        // R, right [rows / 32][Dv / 16]
  Bf16* read_left;        // left [rows / 16][Dv / 32 + C / 32]: R, then B
  Bf16* read_t;           // R^T, left [Dv / 16][rows / 32]
  Bf16* scores_t;         // A^T of one strip, left [2][rows / 32]
  Bf16* d_scores_t;       // B^T, left [C / 16][rows / 32]
  Bf16* d_state_rows;     // dS^T, right [Dv / 32][F / 16]
  Bf16* d_state_columns;  // dS, right [F / 32][Dv / 16]
  Bf16* chunk_states;     // state_rows before chunks 1..m-1 of a segment
  float* scores;          // of one strip
  float* d_phi;
  float* d_queries;  // of phi(q) [2][F / 16]
  float* d_keys;     // of phi(k) [C / 16][F / 16]
  float* d_values;   // [C / 16][Dv / 16]
  float* d_state;    // running gradient of the state, transposed as it
  float* d_sum;      // what a segment's queries add to it
};

// `Worker` blocks for every worker, and `slots` times a state per segment.
template <typename Worker>
class Bf16LinearScratch {
 public:
  Bf16LinearScratch(const Bf16LinearPlan& plan, int64_t slots, Arena* arena)
      : plan_(plan),
        bytes_(BytesOf([&](Arena* a) { Worker(plan, a); })),
        workers_(arena->Take<std::byte>(plan.workers * bytes_)),
        kept_(arena->Take<float>(slots * plan.segments * plan.state_floats())) {
  }

  Worker worker(int index) const {
    Arena arena(workers_ + index * bytes_);
    Worker worker(plan_, &arena);
    worker.index = index;
    return worker;
  }
  float* kept(int64_t slot, int64_t segment) const {
    return kept_ + (slot * plan_.segments + segment) * plan_.state_floats();
  }

 private:
  const Bf16LinearPlan& plan_;
  int64_t bytes_;
  std::byte* workers_;
  float* kept_;
};

// Slots as in ForwardScratch and BackwardScratch.
inline int64_t ForwardSlots(const Bf16LinearPlan& plan) {
  return plan.split_segments ? plan.heads_of_kv() * plan.streams : 0;
}
inline int64_t BackwardSlots(const Bf16LinearPlan& plan) {
  return plan.split_segments ? 2 * plan.heads_of_kv() * plan.streams
                             : plan.workers;
}

}  // namespace rattn
