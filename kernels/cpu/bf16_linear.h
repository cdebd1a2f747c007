// Linear attention of bf16 problems on bf16 tiles: MemoryForward and
// MemoryBackward of branch.h with bf16 products and fp32 sums. phi(q), phi(k),
// v, the masked scores, d_out and a copy of the state are rounded to bf16
// where they are multiplied; states and gradients are kept in fp32.
#pragma once

#include "kernels/cpu/branch.h"

namespace rattn {

// Whether these run instead: bf16, tiles in use, no single step on a cache, no
// key sum.
bool UsesBf16Linear(const Problem& problem);

// Of both passes, the backward in phase kTrain only.
size_t Bf16LinearBytes(const Problem& problem);

void Bf16LinearForward(const Problem& problem, const Buffers& buffers,
                       const TensorView& out, Workspace workspace);

void Bf16LinearBackward(const Problem& problem, const Buffers& buffers,
                        const TensorView& d_out, const BranchGrads& grads,
                        Workspace workspace);

}  // namespace rattn
