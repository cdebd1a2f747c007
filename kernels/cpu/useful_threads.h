// How many threads a call keeps busy.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// At most problem.threads: a team costs some microseconds, and results do not
// depend on it. `context` counts the cached tokens.
int UsefulThreads(const Problem& problem, int64_t context);

}  // namespace rattn
