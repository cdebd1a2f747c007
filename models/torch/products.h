// Products with weight matrices for inference, on kernels/cpu/weight_product.h:
// a row's result does not depend on the rows beside it or on the thread count.
#pragma once

#include <ATen/core/Tensor.h>

namespace rattn {

// `weight` [N, K] (or [E, N, K], one per expert), fp32 or bf16, as panels
// [panels, elements] (or [E, ...]).
at::Tensor PackPanels(const at::Tensor& weight);

// x weight^T of rows x [R, K], fp32 [R, width]. `weight`: from PackPanels, of
// x's dtype. One thread inside of a parallel region.
at::Tensor Product(const at::Tensor& x, const at::Tensor& weight,
                   int64_t width);

}  // namespace rattn
