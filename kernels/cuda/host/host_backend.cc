#include "kernels/cuda/host/host_backend.h"

#include <cstring>

#include "kernels/cuda/forward_plan.h"
#include "kernels/cuda/host/exec_host.h"
#include "kernels/cuda/support.h"

namespace rattn::cuda {

Support HostBackend::Supports(const Problem& problem) const {
  return CudaSupports(problem);
}

size_t HostBackend::WorkspaceBytes(const Problem& problem) const {
  return CudaForwardBytes(problem);
}

void HostBackend::Forward(const Problem& problem, const Buffers& buffers,
                          Workspace workspace) const {
  if (workspace.bytes > 0) std::memset(workspace.data, 0xff, workspace.bytes);
  Arena arena(workspace.data);
  HostLauncher launcher(findings_);
  if (problem.dtype == Dtype::kF16) {
    ForwardPlan<Fp16, HostLauncher>::Run(problem, buffers, &arena, &launcher);
  } else {
    ForwardPlan<Bf16, HostLauncher>::Run(problem, buffers, &arena, &launcher);
  }
}

}  // namespace rattn::cuda
