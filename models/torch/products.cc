#include "models/torch/products.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <memory>
#include <vector>

#include "kernels/cpu/weight_product.h"
#include "kernels/kv_cache.h"
#include "kernels/torch/tensor_views.h"

namespace rattn {
namespace {

int Threads() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

constexpr int64_t kLine = 64;

int64_t PanelCount(int64_t width) {
  return (width + kPanelColumns - 1) / kPanelColumns;
}

// [panels, elements], or [E, ...].
std::vector<int64_t> PanelSizes(at::IntArrayRef sizes, at::ScalarType dtype) {
  std::vector<int64_t> panels(sizes.begin(), sizes.end() - 2);
  panels.push_back(PanelCount(sizes[sizes.size() - 2]));
  panels.push_back(PanelElements(sizes.back(), KernelDtype(dtype)));
  return panels;
}

// Of the allocator of caches, which asks for large pages.
at::Tensor LargePages(int64_t bytes) {
  auto buffer = std::make_shared<AlignedBuffer>(static_cast<size_t>(bytes));
  void* data = buffer->data();
  return at::from_blob(
      data, {bytes}, [buffer](void*) mutable { buffer.reset(); },
      at::TensorOptions(at::kByte));
}

}  // namespace

PanelStore::PanelStore(int64_t bytes) : bytes_(LargePages(bytes)) {}

int64_t PanelStore::Bytes(at::IntArrayRef sizes, at::ScalarType dtype) {
  int64_t bytes = static_cast<int64_t>(c10::elementSize(dtype));
  for (const int64_t size : PanelSizes(sizes, dtype)) bytes *= size;
  return (bytes + kLine - 1) / kLine * kLine;
}

at::Tensor PanelStore::Pack(const at::Tensor& weight, at::ScalarType dtype) {
  const at::Tensor rows = weight.to(dtype).contiguous();
  const std::vector<int64_t> sizes = PanelSizes(rows.sizes(), dtype);
  int64_t elements = 1;
  for (const int64_t size : sizes) elements *= size;
  const int64_t element = static_cast<int64_t>(c10::elementSize(dtype));
  at::Tensor panels =
      bytes_.narrow(0, used_, elements * element).view(dtype).view(sizes);
  used_ += Bytes(rows.sizes(), dtype);
  const int64_t width = rows.size(-2), depth = rows.size(-1);
  const int64_t experts = rows.numel() / (width * depth);
  const auto* from = static_cast<const std::byte*>(rows.const_data_ptr());
  auto* to = static_cast<std::byte*>(panels.mutable_data_ptr());
  for (int64_t e = 0; e < experts; ++e) {
    PackWeight(from + e * width * depth * element, width, depth,
               KernelDtype(dtype), to + e * (elements / experts) * element,
               Threads());
  }
  return panels;
}

at::Tensor PackPanels(const at::Tensor& weight) {
  const at::ScalarType dtype = weight.scalar_type();
  return PanelStore(PanelStore::Bytes(weight.sizes(), dtype))
      .Pack(weight, dtype);
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
  call.scratch = ThreadScratch(WeightProductScratch(call.rows, call.depth,
                                                    call.dtype, call.threads))
                     .data;
  at::Tensor y =
      at::empty({ProductRows(call.rows), call.panel_count * kPanelColumns},
                rows.options().dtype(at::kFloat));
  call.y = y.mutable_data_ptr<float>();
  WeightProduct(call);
  if (y.size(0) != call.rows) y = y.narrow(0, 0, call.rows);
  return y.size(1) == width ? y : y.narrow(1, 0, width).contiguous();
}

}  // namespace rattn
