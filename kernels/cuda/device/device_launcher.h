// Launches kernels on a stream. Nothing synchronises; the first error of the
// launches stays until asked for. Only nvcc includes this.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/exec_device.h"
#include "kernels/cuda/launch.h"

namespace rattn::cuda {

template <typename Kernel, typename Params>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocks)
    Entry(const __grid_constant__ Params params) {
  DeviceExec exec;
  Kernel::Body(exec, params);
}

class DeviceLauncher {
 public:
  explicit DeviceLauncher(cudaStream_t stream) : stream_(stream) {}

  template <typename Kernel>
  void Run(const LaunchShape& shape, const typename Kernel::Params& params) {
    const auto entry = &Entry<Kernel, typename Kernel::Params>;
    // Beyond 48 KiB a kernel has to ask.
    Note(cudaFuncSetAttribute(entry,
                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                              shape.shared_bytes));
    const dim3 grid(static_cast<unsigned>(shape.grid[0]),
                    static_cast<unsigned>(shape.grid[1]),
                    static_cast<unsigned>(shape.grid[2]));
    entry<<<grid, Kernel::kThreads, static_cast<size_t>(shape.shared_bytes),
            stream_>>>(params);
    Note(cudaGetLastError());
  }

  cudaError_t error() const { return error_; }

 private:
  void Note(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace rattn::cuda
