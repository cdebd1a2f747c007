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
  void* Take(size_t bytes);
  void Copy(void* to, const void* from, size_t bytes);

  const Buffers& host_;
  cudaStream_t stream_;
  Buffers device_;
  Workspace workspace_;
  std::vector<void*> taken_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace rattn::cuda
