// The cuda backend: kernels of librattn_cuda.so on the first GPU.
#pragma once

#include <string>

#include "kernels/backend.h"

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

}  // namespace cuda
}  // namespace rattn
