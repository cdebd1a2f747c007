// Vega-Lite specifications (https://vega.github.io/vega-lite) in one style:
// the Okabe-Ito palette, a shape and a dash per series, units on every axis,
// bars from `low` to `high`, tooltips that name the cells.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

// One mark of a plot.
struct PlotRow {
  std::string series;            // legend entry: a variant of the catalog
  std::optional<double> window;  // absent: the variant takes none
  std::string row, column;       // facets
  double x = 0;
  double y = 0, low = 0, high = 0;
  std::optional<double> x_low, x_high;  // bar of x where it was measured
  int64_t seeds = 1;
  std::string cells;   // ids
  std::string label;   // text beside the mark
  bool front = false;  // on the Pareto front
};

// How the values of an axis are laid out and written.
enum class AxisKind {
  kLinear,
  kLog,       // decades, 1 k, 1 M
  kCounts,    // log 2, ticks at the values: windows, lengths, batches
  kBytes,     // log 2, ticks as KiB and MiB
  kFraction,  // 0 to 1
  kPercent,   // 0 to 100
};

struct PlotAxis {
  std::string title;  // with the unit
  AxisKind kind = AxisKind::kLinear;
};

struct Plot {
  std::string name;  // file name
  std::string task;  // that it is about; empty = none
  std::string title;
  std::string subtitle;  // the machine, and what was held fixed
  std::string caption;   // one sentence for the page
  PlotAxis x, y;
  std::vector<PlotRow> rows;
  std::string series_title = "variant";
  std::optional<double> chance;
  std::string chance_label = "chance";
  // Series without a window are levels across the plot (a rule and a band).
  bool flat_series = false;
  // Scattered points with a line through those on the front.
  bool pareto = false;
};

// Order, and so the style, of the series in every plot of a report.
Json ToVegaLite(const Plot& plot, const std::vector<std::string>& series);

// Names in the order of the catalog, others behind it.
std::vector<std::string> InCatalogOrder(std::vector<std::string> names);

}  // namespace rattn
