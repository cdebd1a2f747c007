// Quality against the bytes and the speed that it costs.
#pragma once

#include "harness/report_plots.h"

namespace rattn {

// Costs of a point's cell. False if the cell has none.
struct ParetoCost {
  const char* name;    // of the plot
  const char* metric;  // in report.json
  const char* title;   // of the axis
  const char* what;    // in the plot's title
  const char* unit;
  Better better;
  AxisKind axis;
};

void AddParetoPlots(const ReportInput& input, const std::string& task,
                    ReportPlots* out);

}  // namespace rattn
