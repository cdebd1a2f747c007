#include "kernels/cuda/forward_plan.h"
#include "kernels/cuda/host/host_backend.h"
#include "kernels/cuda/host/run_plan.h"

namespace rattn::cuda {

void HostBackend::Forward(const Problem& problem, const Buffers& buffers,
                          Workspace workspace) const {
  RunPlanOnHost<ForwardPlan>(problem, buffers, workspace, findings_, gpu_);
}

}  // namespace rattn::cuda
