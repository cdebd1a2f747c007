// Softmax attention of bf16 problems on AMX tiles: the passes of
// softmax_attention.h with bf16 products and fp32 sums. P and dS are rounded
// to bf16 before they are multiplied, as every bf16 tensor-core kernel does
// (FlashAttention, arXiv 2205.14135); scores, sums and accumulators stay fp32.
#pragma once

#include "kernels/cpu/softmax_attention.h"

namespace rattn {

// Whether the forward runs here: bf16, AMX in use, and no cache.
bool UsesAmxSoftmax(const Problem& problem);

size_t AmxSoftmaxForwardBytes(const Problem& problem);
void AmxSoftmaxForward(const LocalInputs& inputs, const LocalOutputs& outputs,
                       Workspace workspace);

// The same for the backward: no sinks, which all queries see, and groups that
// fit a block of rows.
bool UsesAmxSoftmaxBackward(const Problem& problem);
size_t AmxSoftmaxBackwardBytes(const Problem& problem);
void AmxSoftmaxBackward(const LocalInputs& inputs, const TensorView& lse,
                        const TensorView& out, const TensorView& d_out,
                        const BranchGrads& grads, Workspace workspace);

}  // namespace rattn
