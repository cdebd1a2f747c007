// Words that the plots, tables and findings of a report share.
#pragma once

#include <string>

#include "harness/report_input.h"

namespace rattn {

// A task or model name as part of a file name.
std::string FileName(const std::string& name);
// "length 56 tokens", or "" if the point has none.
std::string LengthText(const Point& point);
// "2,048 tokens in the caches": where an eval cell measured what decoding
// takes.
std::string DecodeContextText(const Point& point);
// The axis of a score, with its unit and direction.
PlotAxis ScoreAxis(const Point& point);
// Value and bar as text: "0.42 [0.41, 0.43]".
std::string ValueText(const Point& point);
// Series, window, value, bar and cells; x and facets are the caller's.
PlotRow RowOf(const ReportInput& input, const Point& point);

}  // namespace rattn
