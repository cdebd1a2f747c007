#include "kernels/cuda/device/forward_launch.h"

namespace rattn::cuda {

cudaError_t ForwardBf16(const Problem& problem, const Buffers& buffers,
                        Workspace workspace, cudaStream_t stream) {
  return LaunchForward<Bf16>(problem, buffers, workspace, stream);
}

}  // namespace rattn::cuda
