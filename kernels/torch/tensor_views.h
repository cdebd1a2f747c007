// LibTorch's tensors as the kernels see them.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/problem.h"

namespace rattn {

// Of a floating-point type that has kernels: fp64, fp32, bf16 or fp16.
Dtype KernelDtype(at::ScalarType type);

// The tensor's memory; up to four axes, leading ones of size 1 are added.
// Absent for an undefined tensor.
TensorView View(const at::Tensor& t);

// Scratch memory of the host, of this thread, kept from call to call.
Workspace ThreadScratch(size_t bytes);

}  // namespace rattn
