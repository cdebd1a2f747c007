// The answers of a run in one table.
#pragma once

#include "harness/report_input.h"
#include "harness/text_format.h"

namespace rattn {

// The smallest window from which on no larger one is clearly worse than `full`;
// null if the largest is. `windows` in rising order.
const Point* SmallestWindowThatLosesNothing(const Points& windows,
                                            const Point& full);

// Per task and group: full attention, and for every series with windows that
// smallest window with its score. Empty without full attention to compare with.
TextTable SummaryTable(const ReportInput& input);

}  // namespace rattn
