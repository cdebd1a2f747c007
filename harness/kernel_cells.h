// Kernel cells: checked against the reference, then timed.
#pragma once

#include <span>
#include <vector>

#include "harness/cell_kinds.h"

namespace rattn {

// Cells that differ in their backend only are timed in turn, sample by sample.
std::vector<CellResult> RunKernelCells(std::span<const Cell> cells);

}  // namespace rattn
