// Tests only: FakeDevice (kernels/cuda/host/fake_device.h) as LibTorch's CUDA
// device, in programs that link this. Tensors lie in its closed memory; the
// kernels of its library are ours, executed on the CPU; LibTorch's own
// operations are those of the CPU on the same memory, opened for them. What
// reads or writes a tensor's memory in any other way dies.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/host/fake_device.h"

namespace rattn {

inline const at::Device kFakeCuda(at::kCUDA, 0);

// LibTorch's current stream of that device, of this thread; 0 is the default.
void SetFakeStream(int64_t id);
// What a stream is to the library.
void* FakeStreamHandle(int64_t id);

// While it exists, the cuda backend is the fake device's.
class FakeCuda {
 public:
  FakeCuda();
  ~FakeCuda();
  FakeCuda(const FakeCuda&) = delete;
  FakeCuda& operator=(const FakeCuda&) = delete;
  const Backend& backend() const { return *backend_; }
  static cuda::FakeDevice& device() { return cuda::FakeDevice::Get(); }

 private:
  std::unique_ptr<const Backend> backend_;
};

}  // namespace rattn
