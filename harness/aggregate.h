// From cells to points: what was measured several times under the same axes
// (over seeds) becomes one value with an error bar.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/run_data.h"

namespace rattn {

// How the error bars of every point are made, in words for readers.
inline constexpr const char* kErrorBars =
    "Scores are means over seeds; bars span the lowest to the highest seed, "
    "each widened by 1.96 standard errors of its scored questions. Times and "
    "rates are medians; bars span the quartiles of the samples.";

struct Point {
  std::string kind;  // of the cells
  std::string metric;
  std::string unit;
  Better better = Better::kNeither;
  bool headline = false;       // the first score of an eval cell
  Json axes = Json::object();  // those of the cells but for the seed
  double value = 0;
  double low = 0;
  double high = 0;
  std::optional<double> chance;
  int64_t seeds = 0;               // cells behind the value
  std::vector<std::string> cells;  // their ids

  std::string Text(const std::string& axis) const;  // "" if absent or null
  std::optional<double> Number(const std::string& axis) const;
};

// Points in the order of their first cell; only finite values of done cells.
// Cells of one task with several sets of parameters get the parameters in
// their task's name. Cells that differ only in what a reader does not choose
// (seed, seeds of the evaluation, threads) are the same point.
std::vector<Point> Aggregate(const std::vector<ReportCell>& cells);

// Keeps, of trainings that differ in nothing but the learning rate, the one
// with the best headline score at the shortest length; says so in `notes`.
std::vector<Point> BestLearningRates(std::vector<Point> points,
                                     std::vector<std::string>* notes);

Json ToJson(const Point& point);

// Whether a is at least / clearly better than b in the points' sense of
// better: with error bars, "clearly" means that the bars do not touch.
bool ClearlyBetter(const Point& a, const Point& b);

}  // namespace rattn
