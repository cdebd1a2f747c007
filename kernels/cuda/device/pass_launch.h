#pragma once

#include "kernels/arena.h"
#include "kernels/cuda/device/device_launcher.h"
#include "kernels/cuda/device/passes.h"

namespace rattn::cuda {

template <class Plan>  // of DeviceLauncher
cudaError_t LaunchPass(const Problem& problem, const Buffers& buffers,
                       Workspace workspace, cudaStream_t stream) {
  Arena arena(workspace.data);
  DeviceLauncher launcher(stream);
  Plan::Run(problem, buffers, &arena, &launcher);
  return launcher.error();
}

}  // namespace rattn::cuda
