// Which plots a run gives, and which it does not and why.
#pragma once

#include <string>
#include <vector>

#include "harness/report_input.h"

namespace rattn {

struct MissingPlot {
  std::string title;
  std::string reason;
};

// The trade of quality against a cost of one task in one group of points.
struct ParetoResult {
  std::string task;
  std::string facet;
  std::string metric;  // of the cost
  std::string unit;
  Better better = Better::kLower;
  struct Entry {
    const Point* quality;
    double cost, low, high;
    bool front;
  };
  std::vector<Entry> entries;
};

struct ReportPlots {
  std::vector<Plot> plots;
  std::vector<MissingPlot> missing;
  std::vector<ParetoResult> pareto;
};

ReportPlots BuildPlots(const ReportInput& input);

}  // namespace rattn
