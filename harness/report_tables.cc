#include "harness/report_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/crossover.h"
#include "harness/fields.h"
#include "harness/report_text.h"

namespace rattn {
namespace {

constexpr size_t kColumns = 4;
constexpr size_t kLongestFact = 300;

std::string WindowCell(const Point& point) {
  const auto window = Window(point);
  return window ? fmt::format("{}", *window) : "-";
}

// Catalog order, then window.
void SortBySeries(const ReportInput& input, Points* points) {
  const auto place = [&](const Point* point) {
    return std::find(input.series.begin(), input.series.end(),
                     input.Series(*point)) -
           input.series.begin();
  };
  std::stable_sort(points->begin(), points->end(),
                   [&](const Point* a, const Point* b) {
                     if (place(a) != place(b)) return place(a) < place(b);
                     return Window(*a).value_or(0) < Window(*b).value_or(0);
                   });
}

void AddFacts(const std::string& path, const Json& value, TextTable* table) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      AddFacts(path.empty() ? key : path + "." + key, inner, table);
    }
    return;
  }
  std::string text;
  if (value.is_array()) {
    for (const Json& item : value) {
      if (!text.empty()) text += ' ';
      text += ValueText(item);
    }
  } else {
    text = value.is_null() ? "not known" : ValueText(value);
  }
  if (text.size() > kLongestFact) text = text.substr(0, kLongestFact) + "...";
  table->Add({path, text});
}

// "score.": what stands before the dot of all metrics that have one.
std::string SharedPrefix(const std::vector<std::string>& metrics) {
  std::string prefix;
  for (const std::string& metric : metrics) {
    const size_t dot = metric.find('.');
    if (dot == std::string::npos) continue;
    const std::string own = metric.substr(0, dot + 1);
    if (!prefix.empty() && own != prefix) return "";
    prefix = own;
  }
  return prefix;
}

}  // namespace

std::vector<TextTable> ScoreTables(const ReportInput& input,
                                   const std::string& task) {
  Points scores = input.Scores(task);
  SortBySeries(input, &scores);
  const Facets facets(scores, {"pattern"});
  std::vector<std::string> metrics;
  for (const Point& point : input.points) {
    const bool is_score =
        point.kind == "eval" && point.chance && point.Text("task") == task;
    if (is_score && std::find(metrics.begin(), metrics.end(), point.metric) ==
                        metrics.end()) {
      metrics.push_back(point.metric);
    }
  }
  const std::string prefix = SharedPrefix(metrics);
  std::vector<TextTable> tables;
  for (size_t first = 0; first < metrics.size(); first += kColumns) {
    const size_t last = std::min(first + kColumns, metrics.size());
    std::vector<std::string> header = {"variant", "W", "group"};
    std::vector<std::string> chance = {"chance", "-", ""};
    for (size_t i = first; i < last; ++i) {
      const bool strip = !prefix.empty() && metrics[i].starts_with(prefix);
      header.push_back(metrics[i].substr(strip ? prefix.size() : 0));
      const Point* any = input.Sibling(*scores.front(), metrics[i]);
      chance.push_back(
          any != nullptr && any->chance ? FormatNumber(*any->chance, 3) : "-");
    }
    TextTable table(header, {0, 2});
    for (const Point* score : scores) {
      std::vector<std::string> row = {input.Series(*score), WindowCell(*score),
                                      facets.Label(*score)};
      for (size_t i = first; i < last; ++i) {
        const Point* part = input.Sibling(*score, metrics[i]);
        row.push_back(part == nullptr ? "-" : ValueText(*part));
      }
      table.Add(row);
    }
    table.Add(chance);
    tables.push_back(std::move(table));
  }
  return tables;
}

TextTable LengthTable(const ReportInput& input, const std::string& task) {
  Points scores = input.Scores(task, /*all_lengths=*/true);
  const auto lengths = DistinctNumbers(scores, "length");
  std::vector<std::string> header = {"variant", "W", "group"};
  for (const double length : lengths) {
    header.push_back(fmt::format("{} ({}x)", length,
                                 FormatNumber(length / lengths.front(), 3)));
  }
  TextTable table(header, {0, 2});
  if (lengths.size() < 2) return table;
  SortBySeries(input, &scores);
  const Facets facets(scores, {"pattern"});
  std::vector<std::string> done;
  for (const Point* score : scores) {
    const auto key = [&](const Point& p) {
      return input.Series(p) + WindowCell(p) + facets.Label(p);
    };
    if (std::find(done.begin(), done.end(), key(*score)) != done.end()) {
      continue;
    }
    done.push_back(key(*score));
    std::vector<std::string> row = {input.Series(*score), WindowCell(*score),
                                    facets.Label(*score)};
    for (const double length : lengths) {
      const auto at =
          std::find_if(scores.begin(), scores.end(), [&](const Point* p) {
            return key(*p) == key(*score) && p->Number("length") == length;
          });
      row.push_back(at == scores.end() ? "-" : ValueText(**at));
    }
    table.Add(row);
  }
  return table;
}

TextTable KernelTable(const ReportInput& input, const std::string& phase) {
  TextTable table({"variant", "W", "group", "context", "throughput",
                   "useful FLOP/s", "of full attention"},
                  {0, 2});
  Points points = input.Where([&](const Point& point) {
    return IsMixerRate(point) && point.Text("phase") == phase;
  });
  if (points.empty()) return table;
  const double longest = DistinctNumbers(points, "context").back();
  std::erase_if(points, [&](const Point* point) {
    return point->Number("context") != longest;
  });
  SortBySeries(input, &points);
  const Facets facets(points, {"backend"});
  std::map<std::string, const Point*> full;
  for (const Point* point : points) {
    if (IsFullAttention(*point)) full[facets.Label(*point)] = point;
  }
  for (const Point* point : points) {
    const std::string group = facets.Label(*point);
    const Point* flops = input.Sibling(*point, "useful_flops");
    const auto baseline = full.find(group);
    table.Add(
        {input.Series(*point), WindowCell(*point), group, CountText(longest),
         FormatSi(point->value, "tokens/s"),
         flops == nullptr ? "-" : FormatSi(flops->value, "FLOP/s"),
         baseline == full.end() || !(baseline->second->value > 0)
             ? "-"
             : FormatNumber(point->value / baseline->second->value, 3) + "x"});
  }
  return table;
}

TextTable NotDoneTable(const RunData& run) {
  struct Group {
    const ReportCell* first;
    int64_t count;
  };
  // Cells with the same reason are one line: a sweep skips them by the dozen.
  std::vector<Group> groups;
  for (const CellStatus status : {CellStatus::kFailed, CellStatus::kSkipped}) {
    for (const ReportCell& cell : run.cells) {
      if (cell.result.status != status) continue;
      const auto same =
          std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
            return group.first->result.status == status &&
                   group.first->kind == cell.kind &&
                   group.first->result.reason == cell.result.reason;
          });
      if (same == groups.end()) {
        groups.push_back({&cell, 1});
      } else {
        ++same->count;
      }
    }
  }
  TextTable table({"cells", "status", "reason", "first of them", ""},
                  {1, 2, 3, 4});
  for (const Group& group : groups) {
    const ReportCell& cell = *group.first;
    table.Add({WithCommas(group.count), std::string(Name(cell.result.status)),
               cell.result.reason, cell.id,
               Describe(Cell{cell.id, cell.kind, cell.axes, {}, {}})});
  }
  return table;
}

TextTable FactsTable(const Json& facts) {
  TextTable table({"fact", "value"}, {0, 1});
  for (const char* part : {"machine", "build", "argv", "schema"}) {
    if (facts.is_object() && facts.contains(part)) {
      AddFacts(part, facts[part], &table);
    }
  }
  return table;
}

}  // namespace rattn
