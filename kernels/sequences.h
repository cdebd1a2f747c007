// The sequences of a pack (Problem::cu_seqlens), one by one.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// A call on one sequence: of a pack, on views of the pack's tensors and without
// cu_seqlens, its lengths may be 0. `batch` is where it stands along axis 0.
struct SequenceCall {
  Problem problem;
  Buffers buffers;
  int64_t batch = 0;
};

// Sequence i of SequenceCount(problem).
SequenceCall SequenceAt(const Problem& problem, const Buffers& buffers,
                        int64_t i);
// Of a pack, without tensors.
Problem SequenceProblem(const Problem& pack, int64_t i);

// An empty sequence's final state is its initial state, and so are their
// gradients; zeros where those are absent.
void ForwardEmptySequence(const SequenceCall& call);
void BackwardEmptySequence(const SequenceCall& call);

}  // namespace rattn
