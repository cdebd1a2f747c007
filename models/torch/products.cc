#include "models/torch/products.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <vector>

#include "kernels/cpu/weight_product.h"
#include "kernels/torch/tensor_views.h"

namespace rattn {
namespace {

int Threads() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

at::Tensor PackMatrix(const at::Tensor& weight) {
  const int64_t width = weight.size(0), depth = weight.size(1);
  const Dtype dtype = KernelDtype(weight.scalar_type());
  const at::Tensor rows = weight.contiguous();
  at::Tensor panels = at::empty({(width + kPanelColumns - 1) / kPanelColumns,
                                 PanelElements(depth, dtype)},
                                weight.options());
  PackWeight(rows.const_data_ptr(), width, depth, dtype,
             panels.mutable_data_ptr(), Threads());
  return panels;
}

}  // namespace

at::Tensor PackPanels(const at::Tensor& weight) {
  if (weight.dim() == 2) return PackMatrix(weight);
  std::vector<at::Tensor> experts;
  for (int64_t e = 0; e < weight.size(0); ++e) {
    experts.push_back(PackMatrix(weight[e]));
  }
  return at::stack(experts);
}

at::Tensor Product(const at::Tensor& x, const at::Tensor& weight,
                   int64_t width) {
  const at::Tensor rows = x.contiguous();
  WeightProductCall call;
  call.x = rows.const_data_ptr();
  call.rows = rows.size(0);
  call.depth = rows.size(1);
  call.dtype = KernelDtype(rows.scalar_type());
  call.panels = weight.const_data_ptr();
  call.panel_count = weight.size(0);
  call.threads = Threads();
  at::Tensor y =
      at::empty({ProductRows(call.rows), call.panel_count * kPanelColumns},
                rows.options().dtype(at::kFloat));
  const at::Tensor scratch =
      at::empty({static_cast<int64_t>(
                    WeightProductScratch(call.rows, call.depth, call.dtype))},
                rows.options().dtype(at::kByte));
  call.y = y.mutable_data_ptr<float>();
  call.scratch = scratch.mutable_data_ptr();
  WeightProduct(call);
  return y.narrow(0, 0, call.rows).narrow(1, 0, width).contiguous();
}

}  // namespace rattn
