// Scores of many tasks and lengths: RULER's own summary rows, and the table
// with averages and the effective length.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tasks/ruler_text/match_score.h"

namespace rattn {

struct RulerScoreRow {
  std::string task;
  int64_t length = 0;
  RulerTaskScore score;
};

// A prediction file: JSON lines with "pred" and "outputs". Throws UserErrors
// that name file and line.
std::vector<RulerAnswer> ReadRulerPredictions(const std::string& path);

// summary.csv of one length: rows Tasks, Score, Nulls; a column a task.
std::string RulerSummaryCsv(std::span<const RulerScoreRow> rows);
// Tasks by lengths with the mean of each length, and below it the averages
// over lengths and the effective length. Means of fewer than 13 tasks are
// marked as such.
std::string RulerSummaryTable(std::span<const RulerScoreRow> rows);

// Mean over the tasks of each length.
std::map<int64_t, double> LengthMeans(std::span<const RulerScoreRow> rows);

}  // namespace rattn
