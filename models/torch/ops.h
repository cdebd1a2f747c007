// The transformer's differentiable operations, each forward and backward in
// one pass over memory; where tensors are not on the CPU, by LibTorch's own
// (plain_ops.h). All tensors of a call are on one device. Matrices are [rows,
// width], row-major and contiguous; sums are in fp32 (fp64 for fp64 tensors)
// whatever the storage type.
#pragma once

#include <ATen/core/Tensor.h>

namespace rattn {

// table[tokens] + shift_table[previous], [N, width]. tokens and previous: int32
// [N], in range; previous is -1 where there is none. shift_table may be absent.
at::Tensor Embed(const at::Tensor& tokens, const at::Tensor& previous,
                 const at::Tensor& table, const at::Tensor& shift_table);

// x / sqrt(mean(x^2) + eps) * weight in dtype `out`. x, weight: fp32 or fp64.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps,
                   at::ScalarType out);

// kSilu: SwiGLU (arXiv 2002.05202). kGelu: GeGLU with the tanh form of GELU,
// kGeluErf: with its definition.
enum class Gate { kSilu, kGelu, kGeluErf };

// gate(x[:, :F]) * x[:, F:], from [N, 2F] to [N, F], dtype of x.
at::Tensor GatedProduct(const at::Tensor& gate_up, Gate gate);

// x weight^T (+ residual), weight [out, in]: the product in x's dtype, the
// sum in the residual's.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight);
at::Tensor LinearAdd(const at::Tensor& residual, const at::Tensor& x,
                     const at::Tensor& weight);

// Mean over rows of -log softmax(logits)[target], a scalar in fp32 (fp64).
// targets: int32 [rows], in range.
at::Tensor MeanCrossEntropy(const at::Tensor& logits,
                            const at::Tensor& targets);

}  // namespace rattn
