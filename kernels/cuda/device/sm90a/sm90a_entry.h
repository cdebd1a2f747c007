// Sm90aFunction of kernels. Only nvcc for sm_90a includes this.
#pragma once

#include "kernels/cuda/device/sm90a_kernels.h"
#include "kernels/cuda/exec_sm90a.h"

namespace rattn::cuda {

template <typename Kernel, typename Params>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocks)
    Sm90aEntry(const __grid_constant__ Params params) {
  Sm90aExec exec;
  Kernel::Body(exec, params);
}

template <class Kernel>
const void* Sm90aFunction() {
  return reinterpret_cast<const void*>(
      &Sm90aEntry<Kernel, typename Kernel::Params>);
}

}  // namespace rattn::cuda
