// The kernels for compute capability 9.0 on the CPU, which host_hopper.cc
// compiles.
#pragma once

#include "kernels/cuda/host/exec_host.h"
#include "kernels/cuda/softmax_hopper_kernel.h"

namespace rattn::cuda {

#define RATTN_HOPPER_KERNELS(prefix)                                \
  prefix template void HostLauncher::Run<SoftmaxHopper<Bf16, 64>>(  \
      const LaunchShape&, const SoftmaxHopper<Bf16, 64>::Params&);  \
  prefix template void HostLauncher::Run<SoftmaxHopper<Bf16, 128>>( \
      const LaunchShape&, const SoftmaxHopper<Bf16, 128>::Params&); \
  prefix template void HostLauncher::Run<SoftmaxHopper<Fp16, 64>>(  \
      const LaunchShape&, const SoftmaxHopper<Fp16, 64>::Params&);  \
  prefix template void HostLauncher::Run<SoftmaxHopper<Fp16, 128>>( \
      const LaunchShape&, const SoftmaxHopper<Fp16, 128>::Params&);

RATTN_HOPPER_KERNELS(extern)

}  // namespace rattn::cuda
