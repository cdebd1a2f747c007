// What the CUDA kernels could take at best on a GPU, launch by launch, before
// any has run there. A launch takes the longest of
//   tensor FLOPs / peak,  exponentials / rate,  bytes / memory bandwidth,
// the bytes counted as if every element moved once, the peak on Hopper being
// what mma.sync reaches of it in kernels without wgmma (softmax_choice.h).
// Beside it, as terms of their own: the tail, since the last blocks do not fill
// every multiprocessor, and the time between launches.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/gpu_occupancy.h"
#include "kernels/cuda/launch_work.h"

namespace rattn {

inline constexpr std::string_view kKernelRooflineLeavesOut =
    "not modelled: that mma.sync reaches less of the peak than tcgen05 on "
    "Blackwell, exponentials and products that wait for "
    "each other, latency that too few warps do not hide, L2 and shared-memory "
    "bandwidth, bank conflicts, blocks of unequal work, clocks below the "
    "peak's, masks, rounding and other fp32 arithmetic";

struct LaunchEstimate {
  cuda::PlannedLaunch launch;
  KernelResources resources;
  Occupancy occupancy;
  double flops_seconds = 0, exps_seconds = 0, bytes_seconds = 0;
  double tail_seconds = 0;
  double waves = 0;  // blocks / (multiprocessors * occupancy)

  double RooflineSeconds() const;
  // "FLOPs", "exponentials" or "bytes".
  std::string Bound() const;
};

struct KernelEstimate {
  std::vector<LaunchEstimate> launches;
  double roofline_seconds = 0;  // of all launches
  double tail_seconds = 0;
  double launch_seconds = 0;  // between launches
  double useful_flops = 0;    // that the definition asks for
  double seconds() const {
    return roofline_seconds + tail_seconds + launch_seconds;
  }
};

// `problem`: phases kForward and kTrain, CudaSupports; `hardware`: with `gpu`.
// Throws RunError for a kernel that `compiled` lacks or that does not fit.
KernelEstimate EstimateKernels(const Problem& problem, const Hardware& hardware,
                               const CompiledKernels& compiled);

}  // namespace rattn
