// Products with weight matrices for inference. Every element of a result is
// one sum in one order, whatever the number of rows, their order and the
// thread count: a row's result does not depend on the rows beside it.
#pragma once

#include <ATen/core/Tensor.h>

namespace rattn {

// Columns (rows of the weight) of one panel.
inline constexpr int64_t kPanelColumns = 64;

// `weight` [N, K] (or [E, N, K], one per expert) in the form that Product
// reads fastest on this machine: panels [ceil(N / 64), K, 64] (or [E, ...]),
// or the weight itself where there are no kernels for panels.
at::Tensor PackPanels(const at::Tensor& weight);

// x weight^T of rows x [R, K], [R, width]. `weight`: from PackPanels, of x's
// dtype. Panels give fp32, plain weights x's dtype.
at::Tensor Product(const at::Tensor& x, const at::Tensor& weight,
                   int64_t width);

// Whether PackPanels makes panels of this dtype here.
bool HasPanelKernels(at::ScalarType dtype);

}  // namespace rattn
