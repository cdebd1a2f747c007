#include "kernels/torch/tensor_views.h"

#include "kernels/aligned_buffer.h"

namespace rattn {

Dtype KernelDtype(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return Dtype::kF64;
    case at::kBFloat16:
      return Dtype::kBF16;
    case at::kHalf:
      return Dtype::kF16;
    default:
      return Dtype::kF32;
  }
}

TensorView View(const at::Tensor& t) {
  if (!t.defined()) return {};
  TensorView view;
  view.data = t.data_ptr();
  view.dtype = KernelDtype(t.scalar_type());
  const int64_t missing = 4 - t.dim();
  for (int64_t i = 0; i < t.dim(); ++i) {
    view.shape[missing + i] = t.size(i);
    view.stride[missing + i] = t.stride(i);
  }
  return view;
}

Workspace ThreadScratch(size_t bytes) {
  thread_local AlignedBuffer buffer;
  if (buffer.size() < bytes) buffer = AlignedBuffer(bytes);
  return {buffer.data(), buffer.size()};
}

}  // namespace rattn
