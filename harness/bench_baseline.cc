#include "harness/bench_baseline.h"

#include <fmt/format.h>

#include "harness/run_data.h"
#include "models/error.h"

namespace rattn {
namespace {

// What only says how long to measure.
constexpr const char* kMeasuring[] = {"min_samples", "max_samples", "noise",
                                      "max_seconds", "seed"};

std::string WorkOf(const Json& axes, Json params) {
  for (const char* key : kMeasuring) params.erase(key);
  return Json{axes, params}.dump();
}

double Number(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_number() ? at->get<double>() : 0;
}

}  // namespace

std::string Describe(const AgainstBaseline& against) {
  if (against.slower) return fmt::format("SLOWER {:.2f}x", against.times);
  if (against.faster) return fmt::format("faster {:.2f}x", 1 / against.times);
  return fmt::format("{:.2f}x", against.times);
}

BenchBaseline::BenchBaseline(const std::string& folder) {
  const RunData run = LoadRun(folder);
  if (run.facts.is_object()) machine_ = MachineName(run);
  for (const ReportCell& cell : run.cells) {
    const Json& stats = cell.result.stats;
    if (cell.kind != "kernel" || cell.result.status != CellStatus::kDone ||
        !stats.is_object() || !(Number(stats, "median") > 0)) {
      continue;
    }
    times_[WorkOf(cell.axes, cell.params)] = {
        Number(stats, "q1"), Number(stats, "median"), Number(stats, "q3")};
  }
  if (times_.empty()) {
    throw UserError(fmt::format(
        "--baseline {}: no finished kernel cells; make some with rattn bench "
        "--out {}",
        folder, folder));
  }
}

std::optional<AgainstBaseline> BenchBaseline::Compare(
    const Cell& cell, const CellResult& result) const {
  const auto at = times_.find(WorkOf(cell.axes, cell.params));
  if (at == times_.end() || result.status != CellStatus::kDone) {
    return std::nullopt;
  }
  const Quartiles& before = at->second;
  AgainstBaseline against;
  against.times = Number(result.stats, "median") / before.median;
  against.slower = Number(result.stats, "q1") > before.q3;
  against.faster = Number(result.stats, "q3") < before.q1;
  return against;
}

}  // namespace rattn
