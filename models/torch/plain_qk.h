// qk.h in LibTorch's own differentiable operations, on any device: what the
// plain mixer reads, and what takes the place of the loops over rows where
// tensors are not on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/torch/qk.h"

namespace rattn {

// x / sqrt(mean(x^2) + eps) over the last axis.
at::Tensor RmsRows(const at::Tensor& x, double eps);

// x [.., T, D] with row t rotated by positions[t] (of the CPU); x itself
// without RoPE.
at::Tensor Rotate(const at::Tensor& x, const Positions& rope,
                  const at::Tensor& positions);

// What the branches read of q heads or of k heads x [B, T, heads, D], each of
// the same shape; row t stands at first_position + t.
struct BranchInputs {
  at::Tensor local, memory;
};
BranchInputs PlainInputs(const QkPlan& plan, const at::Tensor& x,
                         const at::Tensor& norm, const at::Tensor& scale,
                         int64_t first_position);

// `local` where MakesLocal, `memory` where MakesMemory; else absent.
Qk PlainQk(const QkPlan& plan, const at::Tensor& qkv, const QkWeights& weights,
           int64_t first_position);

// As PrepareQkBackward.
QkWeights PlainQkBackward(const QkPlan& plan, const at::Tensor& qkv,
                          const QkWeights& weights, const Qk& d,
                          at::Tensor& d_qkv);

}  // namespace rattn
