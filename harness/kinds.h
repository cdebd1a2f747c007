// The kinds of cells, one file each (kind_*.cc).
#pragma once

#include "harness/cell_kinds.h"

namespace rattn {

const CellKind& KernelCellKind();
const CellKind& MemoryCellKind();
const CellKind& RooflineCellKind();
const CellKind& TrainCellKind();
const CellKind& EvalCellKind();
const CellKind& CheckpointEvalCellKind();
const CellKind& CheckpointSpeedCellKind();

}  // namespace rattn
