// One child for a few cells, waited for.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/cell.h"

namespace rattn {

// Runs the cells in one child process with progress on a terminal. Throws
// RunError if interrupted.
std::vector<CellResult> RunInChild(std::span<const Cell> cells,
                                   const std::string& products,
                                   double time_limit);

}  // namespace rattn
