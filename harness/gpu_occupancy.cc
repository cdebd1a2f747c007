#include "harness/gpu_occupancy.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

// Units in which a multiprocessor hands out what it has, compute capability
// 8.0 and later (CUDA occupancy calculator).
constexpr int kWarp = 32;
constexpr int kRegisterUnit = 256;  // for a warp
constexpr int kWarpUnit = 4;        // of the warps that registers last for
constexpr int kSharedUnit = 128;
constexpr int kSharedReserved = 1024;  // of a block, for the system
constexpr int kWithOwnKernels = 90;    // compute capability, compiled as 90a

constexpr int64_t RoundUp(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

int64_t BlocksByRegisters(const KernelResources& kernel, int64_t warps,
                          const GpuLimits& gpu) {
  const int64_t of_warp =
      RoundUp(int64_t{std::max(kernel.registers, 1)} * kWarp, kRegisterUnit);
  return gpu.registers / of_warp / kWarpUnit * kWarpUnit / warps;
}

// `arch`: as nvcc has it, without "sm_".
CompiledKernels LoadFile(const std::string& arch) {
  const auto path = std::filesystem::path(ConfigsFolder()) / "kernels" /
                    fmt::format("sm_{}.json", arch);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw UserError(fmt::format(
        "{} is missing: scripts/check_cuda_kernels {} --write compiles the "
        "kernels and writes it",
        path.string(), arch));
  }
  const std::string origin = path.string();
  auto compiled = ParseFields<CompiledKernels>(ReadJsonFile(origin), origin);
  for (const auto& [name, kernel] : compiled.kernels) {
    if (kernel.registers < 1 || kernel.shared_bytes < 0) {
      throw UserError(
          fmt::format("{}: {} takes {} registers and {} B of shared "
                      "memory, which cannot be",
                      origin, name, kernel.registers, kernel.shared_bytes));
    }
  }
  return compiled;
}

}  // namespace

CompiledKernels LoadCompiledKernels(int compute_capability) {
  const std::string arch = fmt::format("{}", compute_capability);
  CompiledKernels compiled = LoadFile(arch);
  if (compute_capability == kWithOwnKernels) {
    compiled.kernels.merge(LoadFile(arch + "a").kernels);
  }
  return compiled;
}

Occupancy OccupancyOf(const KernelResources& kernel, int threads,
                      int shared_bytes, const GpuLimits& gpu) {
  const int64_t warps = RoundUp(threads, kWarp) / kWarp;
  const int64_t shared =
      RoundUp(int64_t{kernel.shared_bytes} + shared_bytes + kSharedReserved,
              kSharedUnit);
  const std::pair<int64_t, const char*> limits[] = {
      {BlocksByRegisters(kernel, warps, gpu), "registers"},
      {gpu.shared_bytes / shared, "shared memory"},
      {gpu.threads / (warps * kWarp), "threads"},
      {gpu.blocks, "blocks"}};
  const auto* least = std::min_element(
      std::begin(limits), std::end(limits),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  Occupancy occupancy;
  occupancy.blocks = static_cast<int>(least->first);
  occupancy.threads =
      static_cast<double>(least->first * warps * kWarp) / gpu.threads;
  occupancy.limit = least->second;
  return occupancy;
}

}  // namespace rattn
