#include "harness/compare_rows.h"

#include <map>
#include <set>
#include <utility>

namespace rattn {
namespace {

// Axes that differ between machines without making the work another one.
constexpr const char* kMachineAxes[] = {"threads"};

Json WorkAxes(const Point& point) {
  Json axes = point.axes;
  for (const char* axis : kMachineAxes) axes.erase(axis);
  return axes;
}

std::optional<double> Ratio(const Point* a, const Point* b) {
  if (a == nullptr || b == nullptr || !(b->value > 0)) return std::nullopt;
  return a->value / b->value;
}

std::optional<double> PercentOfPeak(const ComparedRun& run,
                                    const Point& point) {
  const Point* useful = run.input.Sibling(point, "useful_flops");
  if (useful == nullptr) return std::nullopt;
  const std::string dtype = point.Text("dtype");
  if (run.peaks) {
    const double peak = dtype == "bf16"   ? run.peaks->bf16_flops
                        : dtype == "fp32" ? run.peaks->fp32_flops.value_or(0)
                                          : 0;
    if (!(peak > 0)) return std::nullopt;
    return 100 * useful->value / peak;
  }
  const Point* share = run.input.Sibling(point, "flops_share");
  const auto part = Ratio(useful, run.input.Sibling(point, "executed_flops"));
  if (share == nullptr || !part) return std::nullopt;
  return 100 * share->value * *part;
}

void FillRatios(const std::vector<ComparedRun>& runs, ComparedRow* row) {
  const Point* first = nullptr;
  for (size_t i = 0; i < row->throughput.size(); ++i) {
    const Point* point = row->throughput[i];
    row->percent_of_peak.push_back(
        point == nullptr ? std::nullopt : PercentOfPeak(runs[i], *point));
    if (first == nullptr) first = point;
    row->ratio.push_back(point == first ? std::nullopt : Ratio(point, first));
    row->slower.push_back(row->ratio.back() && point->high < first->low);
  }
}

std::vector<ComparedRow> MatchedRows(const std::vector<ComparedRun>& runs) {
  std::vector<ComparedRow> rows;
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const Point* point : runs[i].input.Where(IsMixerRate)) {
      Json axes = WorkAxes(*point);
      const auto [at, added] = places.emplace(axes.dump(), rows.size());
      if (added) {
        rows.emplace_back();
        rows.back().axes = std::move(axes);
        rows.back().throughput.resize(runs.size());
      }
      rows[at->second].throughput[i] = point;
    }
  }
  return rows;
}

// Whether no run has a cell in two of the rows.
bool Disjoint(const std::vector<ComparedRow>& rows,
              const std::vector<size_t>& which) {
  std::set<size_t> taken;
  for (const size_t row : which) {
    for (size_t i = 0; i < rows[row].throughput.size(); ++i) {
      if (rows[row].throughput[i] != nullptr && !taken.insert(i).second) {
        return false;
      }
    }
  }
  return true;
}

void Join(const ComparedRow& from, ComparedRow* to) {
  to->axes["backend"] = to->axes["backend"].get<std::string>() + ", " +
                        from.axes["backend"].get<std::string>();
  for (size_t i = 0; i < from.throughput.size(); ++i) {
    if (from.throughput[i] != nullptr) to->throughput[i] = from.throughput[i];
  }
}

// Rows that some run lacks and that differ in the backend alone.
std::vector<ComparedRow> JoinBackends(std::vector<ComparedRow> rows) {
  std::map<std::string, std::vector<size_t>> groups;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& cells = rows[i].throughput;
    Json axes = rows[i].axes;
    const auto backend = axes.find("backend");
    if (backend == axes.end() || !backend->is_string()) continue;
    axes.erase("backend");
    for (const Point* cell : cells) {
      if (cell == nullptr) {
        groups[axes.dump()].push_back(i);
        break;
      }
    }
  }
  std::set<size_t> joined;
  for (const auto& [key, which] : groups) {
    if (!Disjoint(rows, which)) continue;
    for (size_t i = 1; i < which.size(); ++i) {
      Join(rows[which[i]], &rows[which[0]]);
      joined.insert(which[i]);
    }
  }
  std::vector<ComparedRow> left;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!joined.contains(i)) left.push_back(std::move(rows[i]));
  }
  return left;
}

}  // namespace

std::vector<ComparedRow> CompareRows(const std::vector<ComparedRun>& runs) {
  std::vector<ComparedRow> rows = JoinBackends(MatchedRows(runs));
  for (ComparedRow& row : rows) FillRatios(runs, &row);
  return rows;
}

}  // namespace rattn
