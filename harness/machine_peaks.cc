#include "harness/machine_peaks.h"

#include <omp.h>

#include <algorithm>

#include "harness/hardware.h"
#include "harness/machine.h"
#include "kernels/cpu/peaks.h"
#include "models/config_files.h"

namespace rattn {
namespace {

constexpr double kSeconds = 0.1;

}  // namespace

MachinePeaks MeasurePeaks(int threads) {
  MachinePeaks peaks;
  peaks.threads = threads > 0 ? threads : omp_get_num_procs();
  peaks.fp32_flops = PeakFp32Flops(peaks.threads, kSeconds);
  const double bf16 = PeakFedBf16Flops(peaks.threads, kSeconds);
  peaks.bf16_flops = bf16 > 0 ? bf16 : peaks.fp32_flops;
  peaks.read_bandwidth =
      PeakReadBandwidth(ColdBytes() / peaks.threads, peaks.threads, kSeconds);
  return peaks;
}

MachinePeaks Mean(const MachinePeaks& a, const MachinePeaks& b) {
  return {a.threads, (a.fp32_flops + b.fp32_flops) / 2,
          (a.bf16_flops + b.bf16_flops) / 2,
          (a.read_bandwidth + b.read_bandwidth) / 2, a.of};
}

std::optional<MachinePeaks> DevicePeaks(const std::string& device) {
  for (const std::string& name : ListConfigs("hardware")) {
    const Hardware hardware = LoadHardware(name);
    if (!hardware.gpu) continue;
    const auto& devices = hardware.gpu->devices;
    if (std::find(devices.begin(), devices.end(), device) == devices.end()) {
      continue;
    }
    MachinePeaks peaks;
    peaks.fp32_flops = hardware.fp32_flops.value_or(0);
    peaks.bf16_flops = hardware.bf16_flops;
    peaks.read_bandwidth = hardware.memory_bandwidth;
    peaks.of = hardware.name;
    return peaks;
  }
  return std::nullopt;
}

void AddShares(const Cell& cell, const MachinePeaks& peaks,
               CellResult* result) {
  if (result->status != CellStatus::kDone) return;
  const double flops =
      cell.axes.at("dtype") == "bf16" ? peaks.bf16_flops : peaks.fp32_flops;
  const auto add = [&](const char* key, const char* of, double peak) {
    if (!(peak > 0)) return;
    result->metrics.push_back(
        {key, MetricValue(*result, of) / peak, "fraction", Better::kHigher});
  };
  add("flops_share", "executed_flops", flops);
  add("bandwidth_share", "bandwidth", peaks.read_bandwidth);
  result->detail["peaks"] = {{"threads", peaks.threads},
                             {"fp32_flops", peaks.fp32_flops},
                             {"bf16_flops", peaks.bf16_flops},
                             {"read_bandwidth", peaks.read_bandwidth}};
  if (!peaks.of.empty()) result->detail["peaks"]["of"] = peaks.of;
}

}  // namespace rattn
