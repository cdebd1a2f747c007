// The options of `rattn apply` as a problem and a backend.
#pragma once

#include "harness/apply.h"
#include "kernels/backend.h"

namespace rattn {

// Throws UserError that names what is unknown.
Problem ApplyProblem(const ApplyOptions& options, const Shape& shape);
const Backend& ApplyBackend(const ApplyOptions& options);

}  // namespace rattn
