#pragma once

#include "kernels/arena.h"
#include "kernels/cuda/device/device_launcher.h"
#include "kernels/cuda/device/passes.h"

namespace rattn::cuda {

// Plan: of DeviceLauncher; `more` what it needs beside the buffers.
template <class Plan, typename... More>
cudaError_t LaunchPass(const Problem& problem, const Buffers& buffers,
                       Workspace workspace, cudaStream_t stream,
                       const More&... more) {
  Arena arena(workspace.data);
  DeviceLauncher launcher(stream);
  Plan::Run(problem, buffers, more..., &arena, &launcher);
  return launcher.error();
}

}  // namespace rattn::cuda
