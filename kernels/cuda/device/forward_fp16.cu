#include "kernels/cuda/device/pass_launch.h"
#include "kernels/cuda/forward_plan.h"

namespace rattn::cuda {

cudaError_t ForwardFp16(const Problem& problem, const Buffers& buffers,
                        Workspace workspace, cudaStream_t stream) {
  return LaunchPass<ForwardPlan<Fp16, DeviceLauncher>>(problem, buffers,
                                                       workspace, stream);
}

}  // namespace rattn::cuda
