#include "kernels/torch/tensor_calls.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "kernels/torch/tensor_views.h"

namespace rattn {

TensorCalls::TensorCalls(const Backend& backend, at::Device device)
    : backend_(backend), device_(device) {
  const DeviceCalls* calls = backend.device_calls();
  if (device.is_cpu()) {
    TORCH_CHECK_VALUE(calls == nullptr, "rattn: backend ", backend.name(),
                      " takes tensors on its device, these are on the CPU");
    return;
  }
  TORCH_CHECK_VALUE(calls != nullptr, "rattn: backend ", backend.name(),
                    " runs on the CPU, the tensors are on ", device);
  TORCH_CHECK_VALUE(device.index() == calls->device_index(), "rattn: backend ",
                    backend.name(), " runs on device ", calls->device_index(),
                    ", the tensors are on ", device);
}

// Interfaces that every LibTorch has, so that one build serves those with CUDA
// and those without.
template <typename Call>
void TensorCalls::Queue(const Problem& problem, const Call& call) const {
  const c10::DeviceGuard guard(device_);
  const c10::impl::VirtualGuardImpl devices(device_.type());
  const DeviceCalls& calls = *backend_.device_calls();
  // The allocator hands its memory out again to this stream only.
  const at::Tensor workspace =
      at::empty({static_cast<int64_t>(calls.WorkspaceBytes(problem))},
                at::TensorOptions().dtype(at::kByte).device(device_));
  const char* failure =
      call(calls, Workspace{workspace.data_ptr(), workspace.nbytes()},
           devices.getStream(device_).native_handle());
  TORCH_CHECK(failure == nullptr, "rattn: ", backend_.name(), ": ", failure);
}

void TensorCalls::Forward(const Problem& p, const Buffers& buffers) const {
  if (device_.is_cpu()) {
    backend_.Forward(p, buffers, ThreadScratch(backend_.WorkspaceBytes(p)));
    return;
  }
  Queue(p, [&](const DeviceCalls& calls, Workspace workspace, void* stream) {
    return calls.Forward(p, buffers, workspace, stream);
  });
}

void TensorCalls::Backward(const Problem& p, const Buffers& buffers) const {
  if (device_.is_cpu()) {
    backend_.Backward(p, buffers, ThreadScratch(backend_.WorkspaceBytes(p)));
    return;
  }
  Queue(p, [&](const DeviceCalls& calls, Workspace workspace, void* stream) {
    return calls.Backward(p, buffers, workspace, stream);
  });
}

void TensorCalls::Extend(const Problem& p, const Buffers& buffers,
                         KvCache& cache) const {
  if (device_.is_cpu()) {
    backend_.Extend(p, buffers, cache,
                    ThreadScratch(backend_.WorkspaceBytes(p)));
    return;
  }
  Queue(p, [&](const DeviceCalls& calls, Workspace workspace, void* stream) {
    return calls.Extend(p, buffers, cache, workspace, stream);
  });
}

}  // namespace rattn
