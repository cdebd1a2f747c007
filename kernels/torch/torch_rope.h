// Rotary positions in plain ATen operations, for the baseline backend.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// x [B, H, T, D], row t at position first + t; turned back when `inverse`.
// Computed in fp32 with angles in fp64, returned in x's dtype; x itself where
// the problem has no positions.
at::Tensor RotateRows(const Positions& positions, const at::Tensor& x,
                      int64_t first, bool inverse);

}  // namespace rattn
