// The predicted decoding steps of a run.
#pragma once

#include "harness/report_plots.h"

namespace rattn {

void AddRooflinePlot(const ReportInput& input, ReportPlots* out);

}  // namespace rattn
