#include "harness/kernel_roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/cost.h"
#include "kernels/cuda/softmax_choice.h"
#include "models/error.h"

namespace rattn {
namespace {

const KernelResources& ResourcesOf(const cuda::PlannedLaunch& launch,
                                   const CompiledKernels& compiled) {
  const auto found = compiled.kernels.find(launch.kernel);
  if (found != compiled.kernels.end()) return found->second;
  throw RunError(fmt::format(
      "configs/kernels/sm_{0}.json has no {1}: scripts/check_cuda_kernels {0} "
      "--write brings it up to date",
      fmt::format("{}{}", compiled.compute_capability, launch.sm90a ? "a" : ""),
      launch.kernel));
}

// FLOP/s of the tensor cores by the instructions that a kernel has.
double TensorPeak(const cuda::PlannedLaunch& launch, const Hardware& hardware) {
  const bool hopper = hardware.gpu->compute_capability == 90;
  return hardware.bf16_flops *
         (hopper && !launch.sm90a ? cuda::kMmaShareOnHopper : 1);
}

// What multiprocessors do takes as long as the one with most blocks takes;
// bandwidth is shared by all.
void AddTail(const GpuLimits& gpu, LaunchEstimate* e) {
  const auto blocks = static_cast<double>(e->launch.blocks());
  const double even = blocks / gpu.sms;
  const double inside = std::max(e->flops_seconds, e->exps_seconds);
  const double longest = inside * std::ceil(even) / even;
  e->tail_seconds = std::max(longest, e->bytes_seconds) - e->RooflineSeconds();
  e->waves = even / e->occupancy.blocks;
}

LaunchEstimate Estimate(const cuda::PlannedLaunch& launch,
                        const Hardware& hardware,
                        const CompiledKernels& compiled) {
  const GpuLimits& gpu = *hardware.gpu;
  LaunchEstimate e;
  e.launch = launch;
  e.resources = ResourcesOf(launch, compiled);
  e.occupancy =
      OccupancyOf(e.resources, launch.threads, launch.shape.shared_bytes, gpu);
  if (e.occupancy.blocks < 1) {
    throw RunError(fmt::format("{}: a block of {} does not fit ({})",
                               hardware.name, launch.kernel,
                               e.occupancy.limit));
  }
  e.flops_seconds = launch.work.flops / TensorPeak(launch, hardware);
  e.exps_seconds =
      launch.work.exps / (gpu.exps_per_clock * gpu.sms * gpu.clock);
  e.bytes_seconds = launch.work.bytes / hardware.memory_bandwidth;
  AddTail(gpu, &e);
  return e;
}

cuda::Gpu GpuOf(const Hardware& hardware) {
  cuda::Gpu gpu;
  gpu.compute_capability = hardware.gpu->compute_capability;
  gpu.sms = hardware.gpu->sms;
  return gpu;
}

}  // namespace

double LaunchEstimate::RooflineSeconds() const {
  return std::max({flops_seconds, exps_seconds, bytes_seconds});
}

std::string LaunchEstimate::Bound() const {
  const double most = RooflineSeconds();
  if (most == bytes_seconds) return "bytes";
  return most == flops_seconds ? "FLOPs" : "exponentials";
}

KernelEstimate EstimateKernels(const Problem& problem, const Hardware& hardware,
                               const CompiledKernels& compiled) {
  KernelEstimate all;
  const cuda::Gpu gpu = GpuOf(hardware);
  for (const cuda::PlannedLaunch& launch : cuda::CudaLaunches(problem, gpu)) {
    all.launches.push_back(Estimate(launch, hardware, compiled));
    all.roofline_seconds += all.launches.back().RooflineSeconds();
    all.tail_seconds += all.launches.back().tail_seconds;
    all.launch_seconds += hardware.gpu->launch_seconds;
  }
  all.useful_flops = ForwardCost(problem).useful_flops;
  if (problem.phase == Phase::kTrain) {
    all.useful_flops += BackwardCost(problem).useful_flops;
  }
  return all;
}

}  // namespace rattn
