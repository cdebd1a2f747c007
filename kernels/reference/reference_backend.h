// The truth: every phase and direction in plain fp64 loops, straight from the
// definition (variants.md sections 1.1-1.3), whatever the buffers' dtype.
#pragma once

#include "kernels/backend.h"

namespace rattn {

const Backend* ReferenceBackend();

}  // namespace rattn
