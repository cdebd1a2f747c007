// Launches kernels on a stream. Nothing synchronises; the first error of the
// launches stays until asked for. RATTN_CUDA_KERNELS=newest: kernels for the
// GPU even where they do not pay (gpu.h), for tests. Only nvcc includes this.
#pragma once

#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>

#include "kernels/cuda/device/sm90a_kernels.h"
#include "kernels/cuda/exec_device.h"
#include "kernels/cuda/gpu.h"
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
  explicit DeviceLauncher(cudaStream_t stream) : stream_(stream) {
    int device = 0, major = 0, minor = 0;
    Note(cudaGetDevice(&device));
    Note(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                                device));
    Note(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                                device));
    Note(cudaDeviceGetAttribute(&gpu_.sms, cudaDevAttrMultiProcessorCount,
                                device));
    gpu_.compute_capability = 10 * major + minor;
    const char* kernels = std::getenv("RATTN_CUDA_KERNELS");
    gpu_.always_newest =
        kernels != nullptr && std::strcmp(kernels, "newest") == 0;
  }

  const Gpu& gpu() const { return gpu_; }

  template <typename Kernel>
  void Run(const LaunchShape& shape, const typename Kernel::Params& params) {
    if constexpr (requires { Kernel::kSm90a; }) {
      auto encoded = params;
      Kernel::ForEachMap(encoded, [this](TileMap& map) {
        Note(EncodeTileMap<typename Kernel::T>(&map));
      });
      if (error_ != cudaSuccess) return;  // without its maps a kernel hangs
      Launch(Sm90aFunction<Kernel>(), Kernel::kThreads, shape, &encoded);
    } else {
      Launch(reinterpret_cast<const void*>(
                 &Entry<Kernel, typename Kernel::Params>),
             Kernel::kThreads, shape, &params);
    }
  }

  cudaError_t error() const { return error_; }

 private:
  template <typename Params>
  void Launch(const void* function, int threads, const LaunchShape& shape,
              const Params* params) {
    // Beyond 48 KiB a kernel has to ask.
    Note(cudaFuncSetAttribute(function,
                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                              shape.shared_bytes));
    const dim3 grid(static_cast<unsigned>(shape.grid[0]),
                    static_cast<unsigned>(shape.grid[1]),
                    static_cast<unsigned>(shape.grid[2]));
    void* arguments[] = {const_cast<Params*>(params)};
    Note(cudaLaunchKernel(function, grid, dim3(static_cast<unsigned>(threads)),
                          arguments, static_cast<size_t>(shape.shared_bytes),
                          stream_));
  }
  void Note(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }

  cudaStream_t stream_;
  Gpu gpu_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace rattn::cuda
