// Runs of several machines (or builds) side by side.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/crossover.h"
#include "harness/document.h"
#include "harness/hardware.h"

namespace rattn {

struct ComparedRun {
  std::string label;  // machine; with the run's name where machines repeat
  ReportInput input;
  std::optional<Hardware> peaks;
};

// The same kernel cell in several runs.
struct ComparedRow {
  Json axes;
  // Per run; null where the run has no such cell.
  std::vector<const Point*> throughput;
  // Useful FLOP/s as a share of the peak of its dtype; absent if unknown.
  std::vector<std::optional<double>> percent_of_peak;
  // Of the first run that has the cell. Slower: outside both quartile ranges.
  std::vector<std::optional<double>> ratio;
  std::vector<bool> slower;
};

struct Comparison {
  std::vector<ComparedRun> runs;
  std::vector<ComparedRow> rows;
};

// `peaks`: names in configs/hardware or files, one per folder, or empty: then
// peaks are those that run.json names, if any. Throws UserError.
Comparison Compare(const std::vector<std::string>& folders,
                   const std::vector<std::string>& peaks);

Json ToJson(const Comparison& comparison);
Document ToDocument(const Comparison& comparison);

}  // namespace rattn
