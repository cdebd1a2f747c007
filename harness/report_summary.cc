#include "harness/report_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/crossover.h"
#include "harness/report_text.h"

namespace rattn {
namespace {

struct Group {
  const Point* full = nullptr;
  std::map<std::string, Points> windows;  // by series
};

std::vector<std::string> WindowedSeries(const ReportInput& input) {
  std::vector<std::string> names;
  for (const std::string& series : input.series) {
    for (const Point& point : input.points) {
      if (!point.headline || !Window(point) || input.Series(point) != series) {
        continue;
      }
      names.push_back(series);
      break;
    }
  }
  return names;
}

std::string AnswerText(const Group& group, const std::string& series) {
  const auto it = group.windows.find(series);
  if (it == group.windows.end()) return "-";
  Points points = it->second;
  std::sort(points.begin(), points.end(), [](const Point* a, const Point* b) {
    return *Window(*a) < *Window(*b);
  });
  const Point* smallest = SmallestWindowThatLosesNothing(points, *group.full);
  if (smallest != nullptr) {
    return fmt::format("W={}: {}", *Window(*smallest), ValueText(*smallest));
  }
  const Point& largest = *points.back();
  return fmt::format("{} W={}: {}", points.size() == 1 ? "not" : "none up to",
                     *Window(largest), ValueText(largest));
}

}  // namespace

const Point* SmallestWindowThatLosesNothing(const Points& windows,
                                            const Point& full) {
  const Point* smallest = nullptr;
  for (auto p = windows.rbegin(); p != windows.rend(); ++p) {
    if (ClearlyBetter(full, **p)) break;
    smallest = *p;
  }
  return smallest;
}

TextTable SummaryTable(const ReportInput& input) {
  const std::vector<std::string> series = WindowedSeries(input);
  std::vector<std::string> header = {"task", "group", "full"};
  header.insert(header.end(), series.begin(), series.end());
  TextTable table(header, {0, 1});
  for (const std::string& task : input.Tasks()) {
    const Points scores = input.Scores(task);
    const Facets facets(scores, {"pattern"});
    std::vector<std::string> order;
    std::map<std::string, Group> groups;
    for (const Point* score : scores) {
      const std::string label = facets.Label(*score);
      if (!groups.contains(label)) order.push_back(label);
      Group& group = groups[label];
      if (IsFullAttention(*score)) group.full = score;
      if (Window(*score)) group.windows[input.Series(*score)].push_back(score);
    }
    for (const std::string& label : order) {
      const Group& group = groups[label];
      if (group.full == nullptr) continue;
      std::vector<std::string> row = {task, label, ValueText(*group.full)};
      for (const std::string& name : series) {
        row.push_back(AnswerText(group, name));
      }
      table.Add(row);
    }
  }
  return table;
}

}  // namespace rattn
