// What a sweep over (m, chunk) of a memory's training says: how much
// recomputing states from every m-th one gains over keeping them all (the
// paper's interleaved state saving).
#pragma once

#include <string>
#include <vector>

#include "harness/run_data.h"

namespace rattn {

// A line per kernel that was measured with several tilings, m = 1 among them:
// the fastest tiling against the fastest with m = 1.
std::vector<std::string> BestTilings(const std::vector<ReportCell>& cells);

}  // namespace rattn
