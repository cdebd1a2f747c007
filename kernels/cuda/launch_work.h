// The launches that a problem becomes on a GPU, and the work of each, known
// without one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/launch.h"
#include "kernels/problem.h"

namespace rattn::cuda {

struct LaunchWork {
  double flops = 0;  // of tensor cores, masked and padded products included
  double exps = 0;
  double bytes = 0;            // of global memory, every element moved once
  double requested_bytes = 0;  // what blocks ask the L2 cache for
};

struct PlannedLaunch {
  std::string kernel;  // "SoftmaxForward<Bf16, 128>", as in gates.json
  int threads = 0;     // of a block
  bool sm90a = false;  // compiled for compute capability 9.0 alone
  LaunchShape shape;
  LaunchWork work;
  int64_t blocks() const {
    return int64_t{1} * shape.grid[0] * shape.grid[1] * shape.grid[2];
  }
};

// On `gpu`, in order; phase kTrain: forward, then backward. `problem`:
// CudaSupports, on dense bf16 tensors, without learned norms, sink logits and
// start states. At most `most_blocks` blocks per head are walked to count work;
// that of a pack's launches is not known: ask for 0 blocks.
std::vector<PlannedLaunch> CudaLaunches(const Problem& problem,
                                        const Gpu& gpu = {},
                                        int most_blocks = 32);

}  // namespace rattn::cuda
