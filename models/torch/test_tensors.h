// Random tensors and comparisons of the model layer's tests.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "kernels/random.h"

namespace rattn {

// N(0, 1) values that depend on `stream` alone.
inline at::Tensor RandomTensor(at::IntArrayRef shape, uint64_t stream,
                               at::ScalarType type = at::kDouble) {
  at::Tensor t = at::empty(shape, at::kDouble);
  const Philox random(11, stream);
  double* data = t.mutable_data_ptr<double>();
  for (int64_t i = 0; i < t.numel(); ++i) data[i] = random.Normal(i);
  return t.to(type);
}

// sqrt(sum (a - b)^2 / sum b^2); the plain RMS of a where b is zero.
inline double RelativeRms(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const double error = (x - y).square().mean().sqrt().item<double>();
  const double size = y.square().mean().sqrt().item<double>();
  return size > 0 ? error / size : error;
}

inline at::Tensor Leaf(const at::Tensor& t) {
  return t.detach().clone().set_requires_grad(true);
}

}  // namespace rattn
