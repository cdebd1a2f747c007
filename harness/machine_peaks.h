// What the machine could do at best while something was measured on it: shares
// of a peak taken in the same run mean something on a shared machine, too.
#pragma once

#include <optional>
#include <string>

#include "harness/cell.h"

namespace rattn {

struct MachinePeaks {
  int threads = 1;
  double fp32_flops = 0;  // FLOP/s, from registers
  // FLOP/s of bf16 data: products on tiles with their operands in the L1 cache
  // (a product loads one tile), bf16 dot products, or fp32 where there are
  // neither.
  double bf16_flops = 0;
  double read_bandwidth = 0;  // B/s, of more than the last-level cache holds
  // Whose data sheet they are of; empty: measured on this machine.
  std::string of{};
};

// About half a second. `threads`: 0 = one per core.
MachinePeaks MeasurePeaks(int threads);
MachinePeaks Mean(const MachinePeaks& a, const MachinePeaks& b);

// Of the GPU that calls itself `device`: those of the file in configs/hardware
// that lists the name. Absent if none does.
std::optional<MachinePeaks> DevicePeaks(const std::string& device);

// Adds to a done kernel cell the metrics flops_share (executed FLOP/s) and
// bandwidth_share, and the peaks to its detail.
void AddShares(const Cell& cell, const MachinePeaks& peaks, CellResult* result);

}  // namespace rattn
