#include "harness/kernel_roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/cost.h"
#include "models/error.h"

namespace rattn {
namespace {

const KernelResources& ResourcesOf(const std::string& kernel,
                                   const CompiledKernels& compiled) {
  const auto found = compiled.kernels.find(kernel);
  if (found != compiled.kernels.end()) return found->second;
  throw RunError(fmt::format(
      "configs/kernels/sm_{0}.json has no {1}: scripts/check_cuda_kernels {0} "
      "--write brings it up to date",
      compiled.compute_capability, kernel));
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
  e.resources = ResourcesOf(launch.kernel, compiled);
  e.occupancy =
      OccupancyOf(e.resources, launch.threads, launch.shape.shared_bytes, gpu);
  if (e.occupancy.blocks < 1) {
    throw RunError(fmt::format("{}: a block of {} does not fit ({})",
                               hardware.name, launch.kernel,
                               e.occupancy.limit));
  }
  e.flops_seconds = launch.work.flops / hardware.bf16_flops;
  e.exps_seconds =
      launch.work.exps / (gpu.exps_per_clock * gpu.sms * gpu.clock);
  e.bytes_seconds = launch.work.bytes / hardware.memory_bandwidth;
  AddTail(gpu, &e);
  return e;
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
  for (const cuda::PlannedLaunch& launch : cuda::CudaLaunches(problem)) {
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
