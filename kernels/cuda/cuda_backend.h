// The cuda backend: kernels of librattn_cuda.so on the first GPU.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_library.h"
#include "kernels/cuda/timer_library.h"

namespace rattn {

// nullptr with the reason: built without, no driver, no GPU, too old a GPU.
const Backend* CudaBackend(std::string* reason);

namespace cuda {

struct GpuReport {
  std::string reason{};  // why it cannot be used; empty: it can
  std::string name{};    // "NVIDIA H100 80GB HBM3"
  std::string pci_bus_id{};
  int major = 0;  // compute capability
  int minor = 0;
  int driver = 0;  // CUDA version of the driver: 12040 is 12.4
  size_t memory_bytes = 0;
};
// Asks the driver library (libcuda.so.1) about the first GPU.
GpuReport FindGpu(const char* driver);

struct Libraries {
  const CudaLibrary* kernels = nullptr;
  const TimerLibrary* timer = nullptr;
};
// The backend on libraries that are loaded, for tests that bring their own.
std::unique_ptr<const Backend> MakeCudaBackend(const Libraries& libraries,
                                               const GpuReport& gpu);
// Tests: what CudaBackend returns from now on; null: what this machine has.
void SetCudaBackend(const Backend* backend);

}  // namespace cuda
}  // namespace rattn
