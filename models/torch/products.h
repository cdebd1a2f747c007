// Products with weight matrices for inference, on kernels/cpu/weight_product.h:
// a row's result does not depend on the rows beside it or on the thread count.
#pragma once

#include <ATen/core/Tensor.h>

namespace rattn {

// Weights as panels, all of a model's in one piece of memory in large pages: a
// token reads them from one end to the other.
class PanelStore {
 public:
  explicit PanelStore(int64_t bytes);
  // What Pack takes for a weight of these sizes.
  static int64_t Bytes(at::IntArrayRef sizes, at::ScalarType dtype);

  // `weight` [N, K] (or [E, N, K], one per expert), in `dtype`, fp32 or bf16,
  // as panels [panels, elements] (or [E, ...]) that share the store's memory.
  at::Tensor Pack(const at::Tensor& weight, at::ScalarType dtype);

 private:
  at::Tensor bytes_;
  int64_t used_ = 0;
};
// A weight in a store of its own, in its dtype.
at::Tensor PackPanels(const at::Tensor& weight);

// x weight^T of rows x [R, K], fp32 [R, width]. `weight`: from PackPanels, of
// x's dtype. One thread inside of a parallel region.
at::Tensor Product(const at::Tensor& x, const at::Tensor& weight,
                   int64_t width);

}  // namespace rattn
