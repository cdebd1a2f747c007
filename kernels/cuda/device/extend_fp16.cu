#include "kernels/cuda/device/pass_launch.h"
#include "kernels/cuda/extend_plan.h"

namespace rattn::cuda {

cudaError_t ExtendFp16(const Problem& problem, const Buffers& buffers,
                       const CacheViews& cache, Workspace workspace,
                       cudaStream_t stream) {
  return LaunchPass<ExtendPlan<Fp16, DeviceLauncher>>(problem, buffers,
                                                      workspace, stream, cache);
}

}  // namespace rattn::cuda
