#include "tasks/ruler_text/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/text_lines.h"

namespace rattn {
namespace {

RulerAnswer ParsePrediction(const std::string& line, const std::string& where) {
  const Json json = ParseJsonText(line, where);
  if (!json.is_object() || !json.contains("pred") ||
      !json["pred"].is_string()) {
    throw UserError(where + ": expected an object with the text 'pred'");
  }
  if (!json.contains("outputs") || !json["outputs"].is_array()) {
    throw UserError(where + ": 'outputs' is no list of texts");
  }
  RulerAnswer answer;
  answer.prediction = json["pred"].get<std::string>();
  for (const Json& output : json["outputs"]) {
    if (!output.is_string()) {
      throw UserError(where + ": 'outputs' is no list of texts");
    }
    answer.references.push_back(output.get<std::string>());
  }
  return answer;
}

// Names in RULER's order, then others.
std::vector<std::string> TaskNames(std::span<const RulerScoreRow> rows) {
  std::set<std::string> left;
  for (const RulerScoreRow& row : rows) left.insert(row.task);
  std::vector<std::string> names;
  for (const RulerTextTask& task : RulerTextTasks()) {
    const std::string name(task.name);
    if (left.erase(name)) names.push_back(name);
  }
  names.insert(names.end(), left.begin(), left.end());
  return names;
}

std::string Cell(const RulerScoreRow* row) {
  return row ? fmt::format("{:>9.2f}", row->score.score)
             : fmt::format("{:>9}", "-");
}

const RulerScoreRow* FindRow(std::span<const RulerScoreRow> rows,
                             const std::string& task, int64_t length) {
  for (const RulerScoreRow& row : rows) {
    if (row.task == task && row.length == length) return &row;
  }
  return nullptr;
}

}  // namespace

std::vector<RulerAnswer> ReadRulerPredictions(const std::string& path) {
  const std::string file = ReadTextFile(path);
  std::vector<RulerAnswer> answers;
  ForEachLine(file, [&](std::string_view line, int64_t number) {
    if (line.empty()) return;
    answers.push_back(
        ParsePrediction(std::string(line), fmt::format("{}:{}", path, number)));
  });
  if (answers.empty()) throw UserError(path + ": no predictions");
  return answers;
}

std::string RulerSummaryCsv(std::span<const RulerScoreRow> rows) {
  std::string header = "0", tasks = "Tasks", scores = "Score", nulls = "Nulls";
  int column = 0;
  for (const RulerScoreRow& row : rows) {
    header += fmt::format(",{}", ++column);
    tasks += fmt::format(",{}", row.task);
    const double score = row.score.score;
    // As Python writes floats: whole numbers keep their ".0".
    scores +=
        fmt::format(",{}{}", score, score == std::floor(score) ? ".0" : "");
    nulls += fmt::format(",{}/{}", row.score.nulls, row.score.samples);
  }
  return fmt::format("{}\n{}\n{}\n{}\n", header, tasks, scores, nulls);
}

std::map<int64_t, double> LengthMeans(std::span<const RulerScoreRow> rows) {
  std::map<int64_t, std::pair<double, int>> sums;
  for (const RulerScoreRow& row : rows) {
    sums[row.length].first += row.score.score;
    ++sums[row.length].second;
  }
  std::map<int64_t, double> means;
  for (const auto& [length, sum] : sums) {
    means[length] = sum.first / sum.second;
  }
  return means;
}

std::string RulerSummaryTable(std::span<const RulerScoreRow> rows) {
  if (rows.empty()) return "";
  const std::map<int64_t, double> means = LengthMeans(rows);
  const std::vector<std::string> names = TaskNames(rows);
  std::string table = fmt::format("{:<16}", "task");
  for (const auto& [length, mean] : means) {
    table += fmt::format("{:>9}", length);
  }
  for (const std::string& name : names) {
    table += fmt::format("\n{:<16}", name);
    for (const auto& [length, mean] : means) {
      table += Cell(FindRow(rows, name, length));
    }
  }
  table += fmt::format("\n{:<16}", fmt::format("mean of {}", names.size()));
  for (const auto& [length, mean] : means) {
    table += fmt::format("{:>9.2f}", mean);
  }
  const RulerLengthSummary summary = SummarizeLengths(means);
  table += fmt::format(
      "\naverage {:.2f}   wAvg(inc) {:.2f}   wAvg(dec) {:.2f}   effective "
      "length {}\n",
      summary.average, summary.increasing, summary.decreasing,
      EffectiveLengthText(means));
  const size_t all = RulerTextTasks().size();
  if (names.size() != all || rows.size() != all * means.size()) {
    table += fmt::format(
        "note: RULER's averages are over {} tasks at every length\n", all);
  }
  return table;
}

}  // namespace rattn
