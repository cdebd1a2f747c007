// Copies of a call's host tensors on the device.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "kernels/problem.h"

namespace rattn::cuda {

class HostTensors {
 public:
  // Queues the copies to the device; `workspace_bytes` are taken there too.
  HostTensors(const Buffers& host, size_t workspace_bytes, cudaStream_t stream);
  ~HostTensors();
  HostTensors(const HostTensors&) = delete;
  HostTensors& operator=(const HostTensors&) = delete;

  const Buffers& device() const { return device_; }
  Workspace workspace() const { return workspace_; }
  // Queues the copies of what passes write back.
  void CopyOutputsBack();
  cudaError_t error() const { return error_; }

 private:
  // Memory of the host and its copy, to be copied back.
  struct Written {
    void* host;
    const void* device;
    size_t bytes;
  };
  void* Take(size_t bytes);
  void Copy(void* to, const void* from, size_t bytes);
  void* Bring(void* host, size_t bytes, bool written);
  void BringView(TensorView* view, bool written);

  cudaStream_t stream_;
  Buffers device_;
  std::vector<Written> written_;
  Workspace workspace_;
  std::vector<void*> taken_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace rattn::cuda
