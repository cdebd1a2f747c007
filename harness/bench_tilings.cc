#include "harness/bench_tilings.h"

#include <fmt/format.h>

#include <map>

#include "harness/fields.h"

namespace rattn {
namespace {

// Tilings of one kernel, as asked for.
struct Sweep {
  std::vector<const ReportCell*> cells;
};

int64_t Param(const ReportCell& cell, const char* key) {
  return cell.params.value(key, int64_t{0});
}

std::string KernelOf(const ReportCell& cell) {
  Json params = cell.params;
  params.erase("chunk");
  params.erase("state_every");
  return Json{cell.axes, params}.dump();
}

bool Faster(const ReportCell* a, const ReportCell* b) {
  return b == nullptr ||
         MetricValue(a->result, "time") < MetricValue(b->result, "time");
}

std::string TilingText(const ReportCell& cell) {
  const auto size = [&](const char* key) {
    const int64_t value = Param(cell, key);
    return value == 0 ? std::string("auto") : fmt::format("{}", value);
  };
  return fmt::format("({}, {})", size("state_every"), size("chunk"));
}

std::string Share(const ReportCell& a, const ReportCell& b, const char* key) {
  const double of = b.result.detail.value(key, 0.0);
  if (!(of > 0)) return "?";
  return fmt::format("{:.0f} %", 100 * a.result.detail.value(key, 0.0) / of);
}

std::string Line(const ReportCell& best, const ReportCell& plain) {
  const Json& axes = best.axes;
  const std::string window = ValueText(axes["window_keys"]);
  return fmt::format(
      "{}{} {} T {} {} {}: best (m, chunk) = {} against m = 1 {}: {:.2f} times "
      "faster, {} of the peak memory, {} of the kept states",
      ValueText(axes["variant"]), window == "null" ? "" : " W=" + window,
      ValueText(axes["phase"]), ValueText(axes["context"]),
      ValueText(axes["dtype"]), ValueText(axes["backend"]), TilingText(best),
      TilingText(plain),
      MetricValue(plain.result, "time") / MetricValue(best.result, "time"),
      Share(best, plain, "peak_memory_bytes"),
      Share(best, plain, "kept_state_bytes"));
}

}  // namespace

std::vector<std::string> BestTilings(const std::vector<ReportCell>& cells) {
  std::vector<std::string> order;
  std::map<std::string, Sweep> sweeps;
  for (const ReportCell& cell : cells) {
    if (cell.kind != "kernel" || cell.result.status != CellStatus::kDone ||
        !(MetricValue(cell.result, "time") > 0)) {
      continue;
    }
    const std::string kernel = KernelOf(cell);
    if (!sweeps.contains(kernel)) order.push_back(kernel);
    sweeps[kernel].cells.push_back(&cell);
  }
  std::vector<std::string> lines;
  for (const std::string& kernel : order) {
    const Sweep& sweep = sweeps[kernel];
    const ReportCell *best = nullptr, *plain = nullptr;
    for (const ReportCell* cell : sweep.cells) {
      if (Faster(cell, best)) best = cell;
      if (Param(*cell, "state_every") == 1 && Faster(cell, plain)) plain = cell;
    }
    if (sweep.cells.size() < 2 || plain == nullptr) continue;
    lines.push_back(Line(*best, *plain));
  }
  return lines;
}

}  // namespace rattn
