#include "kernels/cuda/cache_views.h"
#include "kernels/cuda/extend_plan.h"
#include "kernels/cuda/host/host_backend.h"
#include "kernels/cuda/host/run_plan.h"

namespace rattn::cuda {

void HostBackend::Extend(const Problem& problem, const Buffers& buffers,
                         KvCache& cache, Workspace workspace) const {
  Extend(problem, buffers, ViewsOf(problem, cache), workspace);
  AdvanceCache(problem, &cache);
}

void HostBackend::Extend(const Problem& problem, const Buffers& buffers,
                         const CacheViews& cache, Workspace workspace) const {
  RunPlanOnHost<ExtendPlan>(problem, buffers, workspace, findings_, gpu_,
                            cache);
}

}  // namespace rattn::cuda
