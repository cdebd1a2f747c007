// The cell of a checkpoint: what it was trained as, read from its metadata, in
// the place of what flags would say.
#pragma once

#include <string>

#include "harness/cell.h"

namespace rattn {

// An eval cell from `given` values, the rest from the checkpoint. Throws
// UserErrors: no checkpoint, a given value that is the checkpoint's to say, a
// task whose vocabulary is not the model's.
Cell CheckpointCell(const std::string& checkpoint, const Json& given);

}  // namespace rattn
