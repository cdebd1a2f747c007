// Which tile sizes a kernel cell ran with.
#pragma once

#include "kernels/backend.h"
#include "models/json_fields.h"

namespace rattn {

// For the cpu backends: "tiles" (sizes and what multiplied) and, where a
// backward keeps states, "kept_state_bytes".
void AddTiles(const Problem& problem, const Backend& backend, Json* detail);

}  // namespace rattn
