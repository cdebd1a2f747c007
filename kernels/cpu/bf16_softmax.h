// Softmax attention of bf16 problems on bf16 tiles: the passes of
// softmax_attention.h with bf16 products and fp32 sums. P and dS are rounded
// to bf16 before they are multiplied, as every bf16 tensor-core kernel does
// (FlashAttention, arXiv 2205.14135); scores, sums and accumulators stay fp32.
#pragma once

#include "kernels/cpu/softmax_attention.h"

namespace rattn {

// Whether the forward runs here: bf16, tiles in use, no single step on a cache.
bool UsesBf16Softmax(const Problem& problem);

size_t Bf16SoftmaxForwardBytes(const Problem& problem);
void Bf16SoftmaxForward(const LocalInputs& inputs, const LocalOutputs& outputs,
                        Workspace workspace);

// The same for the backward: no sinks, which all queries see, and no capped
// scores.
bool UsesBf16SoftmaxBackward(const Problem& problem);
size_t Bf16SoftmaxBackwardBytes(const Problem& problem);
void Bf16SoftmaxBackward(const LocalInputs& inputs, const TensorView& lse,
                         const TensorView& out, const TensorView& d_out,
                         const BranchGrads& grads, Workspace workspace);

}  // namespace rattn
