#include "kernels/cuda/host/host_backend.h"

#include "kernels/cuda/support.h"

namespace rattn::cuda {

Support HostBackend::Supports(const Problem& problem) const {
  return CudaSupports(problem);
}

size_t HostBackend::WorkspaceBytes(const Problem& problem) const {
  return CudaWorkspaceBytes(problem);
}

}  // namespace rattn::cuda
