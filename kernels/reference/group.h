// What one sequence and KV head share among their query heads, widened to
// fp64, and the scratch of one query row.
#pragma once

#include "kernels/problem.h"
#include "kernels/reference/branches.h"
#include "kernels/reference/scratch.h"

namespace rattn::reference {

struct Group {
  Group(const Problem& problem, Scratch* scratch);
  // Rows of sequence b and KV head h of the whole call.
  void Load(const Problem& problem, const Buffers& buffers, int64_t b,
            int64_t h);

  double* k;         // [Tk, D] as the local branch reads it: rotated
  double* k_memory;  // [Tk, D] as the memory reads it
  double* v;         // [Tk, Dv]
  double* phi;       // [Tk, F]
};

// One query row: its rotations, features and branch outputs.
struct Row {
  Row(const Problem& problem, Scratch* scratch);
  void Load(const Problem& problem, const Buffers& buffers, int64_t b,
            int64_t i, int64_t h, int64_t position);
  LocalQuery local_query() const { return {q, q_sink}; }

  double* q;               // [D] at its own position
  double* q_sink;          // [D] at the position that sinks see
  double* q_memory;        // [D] as the memory reads it
  double* phi;             // [F]
  double* o_local;         // [Dv]
  double* o_memory;        // [Dv]
  double* o;               // [Dv]
  double denominator = 1;  // of the memory's normalizer
};

// Norm scales of one query head; null pointers stand for ones.
struct NormScales {
  NormScales(const Problem& problem, Scratch* scratch);
  void Load(const Buffers& buffers, int64_t h);
  const double* local = nullptr;
  const double* memory = nullptr;

 private:
  double* local_storage_;
  double* memory_storage_;
};

inline double BranchWeight(Combine combine) {
  return combine == Combine::kMeanOfNorms ? 0.5 : 1;
}
inline bool Contains(const HeadRange& range, int64_t h) {
  return h >= range.begin && h < range.end;
}
inline double SinkLogit(const Buffers& buffers, int64_t h) {
  return buffers.sink_logit ? buffers.sink_logit.Get(0, 0, 0, h)
                            : -std::numeric_limits<double>::infinity();
}
// Position of query row i: bottom-right aligned.
inline int64_t RowPosition(const Shape& shape, int64_t i) {
  return i + shape.key_len - shape.query_len;
}

// row->o = combination of the branches that query head h has.
void CombineBranches(const Problem& problem, const NormScales& scales,
                     int64_t h, Row* row);

// Writes the outputs of one row that the caller asked for.
void StoreRowOutputs(const Buffers& buffers, int64_t b, int64_t i, int64_t h,
                     const Row& row, const RowSoftmax& softmax);

// row->o_memory of the mask form: initial state plus every visible token.
void MemoryForward(const Problem& problem, const Group& group,
                   const double* initial_state, int64_t position, Row* row);

// Both branches and their combination for query head h at `position`.
RowSoftmax RowForward(const Problem& problem, const Group& group,
                      const NormScales& scales, const double* initial_state,
                      double sink_logit, int64_t h, int64_t position, Row* row);

// [F, Dv] of a state buffer's head into `out`; zeros if the buffer is absent.
void LoadState(const TensorView& state, int64_t b, int64_t h,
               const Problem& problem, double* out);
void StoreState(const TensorView& state, int64_t b, int64_t h,
                const Problem& problem, const double* in);

}  // namespace rattn::reference
