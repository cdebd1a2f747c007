#include "kernels/cuda/host/host_backend.h"

#include <algorithm>

#include "kernels/cuda/support.h"

namespace rattn::cuda {

Support HostBackend::Supports(const Problem& problem) const {
  return CudaSupports(problem);
}

size_t HostBackend::WorkspaceBytes(const Problem& problem) const {
  if (problem.phase == Phase::kExtend || problem.phase == Phase::kDecode) {
    return CudaExtendBytes(problem);
  }
  const size_t forward = CudaForwardBytes(problem);
  if (problem.phase != Phase::kTrain) return forward;
  return std::max(forward, CudaBackwardBytes(problem));
}

}  // namespace rattn::cuda
