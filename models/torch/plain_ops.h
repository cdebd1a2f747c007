// ops.h in LibTorch's own differentiable operations, where tensors are not on
// the CPU. Arguments and results as there.
#pragma once

#include "models/torch/ops.h"

namespace rattn::plain {

at::Tensor Embed(const at::Tensor& tokens, const at::Tensor& previous,
                 const at::Tensor& table, const at::Tensor& shift_table);
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps,
                   at::ScalarType out);
at::Tensor GatedProduct(const at::Tensor& gate_up, Gate gate);
at::Tensor MeanCrossEntropy(const at::Tensor& logits,
                            const at::Tensor& targets);

}  // namespace rattn::plain
