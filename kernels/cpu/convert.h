// Whole tensors from one view into another.
#pragma once

#include "kernels/problem.h"

namespace rattn {

// `in` [B, T, H, D], fp32 with unit stride along D, rounded into `out` of any
// dtype of the cpu backend and any strides.
void ConvertRows(const TensorView& in, const TensorView& out, int threads);

// x everywhere in the heads [heads.begin, heads.end) of `view`.
void FillHeads(const TensorView& view, HeadRange heads, float x, int threads);

}  // namespace rattn
