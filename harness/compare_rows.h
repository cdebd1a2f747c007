// The kernel cells of several runs, matched.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/hardware.h"
#include "harness/report_input.h"

namespace rattn {

struct ComparedRun {
  std::string label;  // machine; with the run's name where machines repeat
  ReportInput input;
  std::optional<Hardware> peaks;
};

// The same kernel cell in several runs. Work that every run did with a backend
// of its own (the CPU's here, the GPU's there) is one row as well, whose
// "backend" lists them.
struct ComparedRow {
  Json axes;
  // Per run; null where the run has no such cell.
  std::vector<const Point*> throughput;
  // Useful FLOP/s as a share of the peak of its dtype; absent if unknown. The
  // peak is the run's, else the one that the cell was measured against.
  std::vector<std::optional<double>> percent_of_peak;
  // Of the first run that has the cell. Slower: outside both quartile ranges.
  std::vector<std::optional<double>> ratio;
  std::vector<bool> slower;
};

std::vector<ComparedRow> CompareRows(const std::vector<ComparedRun>& runs);

}  // namespace rattn
