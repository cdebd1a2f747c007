#include "kernels/cuda/backward_plan.h"
#include "kernels/cuda/device/pass_launch.h"

namespace rattn::cuda {

cudaError_t BackwardFp16(const Problem& problem, const Buffers& buffers,
                         Workspace workspace, cudaStream_t stream) {
  return LaunchPass<BackwardPlan<Fp16, DeviceLauncher>>(problem, buffers,
                                                        workspace, stream);
}

}  // namespace rattn::cuda
