#include "kernels/sequences.h"

namespace rattn {
namespace {

using Member = TensorView Buffers::*;
constexpr Member kRows[] = {
    &Buffers::q,          &Buffers::k,        &Buffers::v,
    &Buffers::q_memory,   &Buffers::k_memory, &Buffers::o,
    &Buffers::max_logits, &Buffers::lse,      &Buffers::o_local,
    &Buffers::o_memory,   &Buffers::d_o,      &Buffers::dq,
    &Buffers::dk,         &Buffers::dv,       &Buffers::dq_memory,
    &Buffers::dk_memory};
constexpr Member kStates[] = {&Buffers::initial_state, &Buffers::final_state,
                              &Buffers::d_final_state,
                              &Buffers::d_initial_state};

TensorView Slice(TensorView view, size_t axis, int64_t begin, int64_t count) {
  if (!view) return view;
  view.data =
      static_cast<std::byte*>(view.data) +
      begin * view.stride[axis] * static_cast<int64_t>(ByteSize(view.dtype));
  view.shape[axis] = count;
  return view;
}

// `from`: absent for zeros.
void CopyState(const TensorView& from, const TensorView& to) {
  if (!to) return;
  const auto [batch, heads, features, dim] = to.shape;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t f = 0; f < features; ++f) {
      for (int64_t c = 0; c < dim; ++c) {
        to.Set(0, h, f, c, from ? from.Get(0, h, f, c) : 0);
      }
    }
  }
}

}  // namespace

Problem SequenceProblem(const Problem& pack, int64_t i) {
  const auto at = static_cast<size_t>(i);
  Problem problem = pack;
  problem.shape.query_len = problem.shape.key_len =
      pack.cu_seqlens[at + 1] - pack.cu_seqlens[at];
  problem.cu_seqlens = {};
  return problem;
}

SequenceCall SequenceAt(const Problem& problem, const Buffers& buffers,
                        int64_t i) {
  if (problem.cu_seqlens.empty()) return {problem, buffers, i};
  SequenceCall call = {SequenceProblem(problem, i), buffers, 0};
  const int64_t begin = problem.cu_seqlens[static_cast<size_t>(i)];
  for (Member rows : kRows) {
    call.buffers.*rows =
        Slice(buffers.*rows, 1, begin, call.problem.shape.key_len);
  }
  for (Member state : kStates) {
    call.buffers.*state = Slice(buffers.*state, 0, i, 1);
  }
  return call;
}

void ForwardEmptySequence(const SequenceCall& call) {
  CopyState(call.buffers.initial_state, call.buffers.final_state);
}

void BackwardEmptySequence(const SequenceCall& call) {
  CopyState(call.buffers.d_final_state, call.buffers.d_initial_state);
}

}  // namespace rattn
