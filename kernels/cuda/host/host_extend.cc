#include <vector>

#include "kernels/cuda/cache_views.h"
#include "kernels/cuda/extend_plan.h"
#include "kernels/cuda/host/host_backend.h"
#include "kernels/cuda/host/run_plan.h"

namespace rattn::cuda {

void HostBackend::Extend(const Problem& problem, const Buffers& buffers,
                         KvCache& cache, Workspace workspace) const {
  std::vector<void*> pages;
  RunPlanOnHost<ExtendPlan>(problem, buffers, workspace, findings_, gpu_,
                            ViewsOf(problem, cache, &pages));
  AdvanceCache(problem, &cache);
}

}  // namespace rattn::cuda
