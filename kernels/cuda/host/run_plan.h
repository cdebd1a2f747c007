// Runs the launches of a plan on the CPU.
#pragma once

#include <cstring>

#include "kernels/arena.h"
#include "kernels/cuda/host/exec_host.h"
#include "kernels/cuda/host/host_hopper.h"

namespace rattn::cuda {

// Plan: ForwardPlan or one like it, `more` what it needs beside the buffers.
// The workspace is filled with NaNs first.
template <template <typename, class> class Plan, typename... More>
void RunPlanOnHost(const Problem& problem, const Buffers& buffers,
                   Workspace workspace, Findings* findings, const Gpu& gpu,
                   const More&... more) {
  if (workspace.bytes > 0) std::memset(workspace.data, 0xff, workspace.bytes);
  Arena arena(workspace.data);
  HostLauncher launcher(findings, gpu);
  if (problem.dtype == Dtype::kF16) {
    Plan<Fp16, HostLauncher>::Run(problem, buffers, more..., &arena, &launcher);
  } else {
    Plan<Bf16, HostLauncher>::Run(problem, buffers, more..., &arena, &launcher);
  }
}

}  // namespace rattn::cuda
