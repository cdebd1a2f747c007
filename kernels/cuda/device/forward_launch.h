#pragma once

#include "kernels/cuda/device/device_launcher.h"
#include "kernels/cuda/device/forward.h"
#include "kernels/cuda/forward_plan.h"

namespace rattn::cuda {

template <typename T>
cudaError_t LaunchForward(const Problem& problem, const Buffers& buffers,
                          Workspace workspace, cudaStream_t stream) {
  Arena arena(workspace.data);
  DeviceLauncher launcher(stream);
  ForwardPlan<T, DeviceLauncher>::Run(problem, buffers, &arena, &launcher);
  return launcher.error();
}

}  // namespace rattn::cuda
