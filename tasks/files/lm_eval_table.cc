#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>

#include "tasks/files/lm_eval_results.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

constexpr size_t kColumns = 9;
using Row = std::array<std::string, kColumns>;
// Version, shots, value and error.
constexpr std::array<bool, kColumns> kRight = {false, true, false, true, false,
                                               false, true, false, true};

size_t Width(const std::string& text) {
  return static_cast<size_t>(CodePoints(text));
}

std::string Padded(const std::string& text, size_t width, size_t before) {
  const size_t after = width - Width(text) - before;
  return fmt::format("{:{}}{}{:{}}", "", before, text, "", after);
}

std::array<size_t, kColumns> Widths(const std::vector<Row>& rows) {
  std::array<size_t, kColumns> widths;
  widths.fill(3);
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) {
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  return widths;
}

// The first row is the header.
std::string Markdown(const std::vector<Row>& rows) {
  const auto widths = Widths(rows);
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t i = 0; i < kColumns; ++i) {
      const size_t spare = widths[i] - Width(rows[r][i]);
      const size_t before = r == 0 ? spare / 2 : kRight[i] ? spare : 0;
      text += fmt::format("|{}", Padded(rows[r][i], widths[i], before));
    }
    text += "|\n";
    if (r > 0) continue;
    for (size_t i = 0; i < kColumns; ++i) {
      text += fmt::format("|{:-<{}}{}", "", widths[i] - (kRight[i] ? 1 : 0),
                          kRight[i] ? ":" : "");
    }
    text += "|\n";
  }
  return text;
}

// Names in the order of the table with their depth: groups before their
// members, both sorted, then what is in no group.
std::vector<std::pair<std::string, int>> Hierarchy(const Json& results,
                                                   const Json& listed) {
  std::map<std::string, std::vector<std::string>> members;
  std::set<std::string> inner, seen;
  for (const auto& [group, names] : results["group_subtasks"].items()) {
    members[group] = names.get<std::vector<std::string>>();
    std::sort(members[group].begin(), members[group].end());
    inner.insert(members[group].begin(), members[group].end());
  }
  std::vector<std::pair<std::string, int>> order;
  const std::function<void(const std::string&, int)> visit =
      [&](const std::string& name, int depth) {
        if (!seen.insert(name).second) return;
        if (listed.contains(name)) order.emplace_back(name, depth);
        for (const auto& member : members[name]) visit(member, depth + 1);
      };
  std::vector<std::string> tops;
  for (const auto& [group, names] : members) {
    if (!inner.contains(group)) tops.push_back(group);
  }
  for (const std::string& top : tops) visit(top, 0);
  std::set<std::string> rest;
  for (const auto& [name, entry] : listed.items()) rest.insert(name);
  for (const std::string& name : rest) visit(name, 0);
  return order;
}

std::string Number(const Json& value) {
  if (value.is_number_float())
    return fmt::format("{:.4f}", value.get<double>());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string Version(const Json& version) {
  return version.is_number() ? fmt::format("{}", version.get<double>())
                             : Number(version);
}

// Metrics in alphabetical order; the first row alone names the task.
void AddRows(const Json& results, const std::string& name, int depth,
             const Json& entry, std::vector<Row>* rows) {
  std::string shown = entry.value("alias", name);
  if (depth > 0) shown = fmt::format("{:{}}- {}", "", depth, shown);
  std::string version = Version(results["versions"].value(name, Json("N/A")));
  const Json shots = results["n-shot"].value(name, Json(""));
  const Json higher = results["higher_is_better"].value(name, Json::object());
  const nlohmann::json sorted(entry);
  for (const auto& [key, value] : sorted.items()) {
    const size_t comma = key.find(',');
    const std::string metric = key.substr(0, comma);
    if (comma == std::string::npos || metric.ends_with("_stderr") ||
        metric.ends_with("_ci95") || metric.ends_with("_chance")) {
      continue;
    }
    const std::string filter = key.substr(comma + 1);
    const std::string base =
        metric.substr(0, metric.find("_by_subject"));  // ours
    const Json better = higher.value(base, Json());
    const Json error = entry.value(metric + "_stderr," + filter, Json("N/A"));
    rows->push_back({shown, version, filter, Number(shots), metric,
                     better.is_null()     ? ""
                     : better.get<bool>() ? "↑"
                                          : "↓",
                     Number(Json(value)), "±", Number(error)});
    shown.clear();
    version.clear();
  }
}

}  // namespace

std::string LmEvalTable(const Json& results, const std::string& column) {
  std::vector<Row> rows = {{column == "groups" ? "Groups" : "Tasks", "Version",
                            "Filter", "n-shot", "Metric", "", "Value", "",
                            "Stderr"}};
  const Json listed = results.value(column, Json::object());
  for (const auto& [name, depth] : Hierarchy(results, listed)) {
    AddRows(results, name, depth, listed[name], &rows);
  }
  return Markdown(rows);
}

}  // namespace rattn
