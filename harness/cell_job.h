// What passes between `rattn sweep` or `rattn bench` and the child that runs
// cells for it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/child.h"

namespace rattn {

// {"cells": [...]}
Json JobJson(std::span<const Cell> cells);

// In the child: runs the cells of a job and returns what goes into the output
// file. Kernel cells that come together are timed in turn. Errors become
// failed results.
Json RunJob(const Json& job, const std::string& products);

// In the parent: one result per cell from the child's output file, which is
// removed, or failures with the reason of its end. Adds peak memory and time.
std::vector<CellResult> TakeResults(std::span<const Cell> cells,
                                    const std::string& output,
                                    const ChildOutcome& outcome,
                                    double time_limit);

}  // namespace rattn
