// A view that owns its memory.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/kv_cache.h"
#include "kernels/tensor_view.h"

namespace rattn {

struct Tensor {
  AlignedBuffer bytes;
  TensorView view;  // absent in a default-constructed tensor
};

Tensor MakeTensor(Dtype dtype, std::array<int64_t, 4> shape);
// Standard normal values of stream (seed, stream), rounded to dtype; the same
// whatever the number of threads.
Tensor RandomTensor(Dtype dtype, std::array<int64_t, 4> shape, uint64_t seed,
                    uint64_t stream);

// The part [begin, begin + size) of one axis.
TensorView Slice(const TensorView& view, int axis, int64_t begin, int64_t size);
// A contiguous fp64 copy.
Tensor ToF64(const TensorView& view);

// sqrt(sum (a - b)^2 / sum b^2) over tensors of one shape; infinite if either
// holds a value that is not finite.
double RelativeRmse(const TensorView& a, const TensorView& b);

}  // namespace rattn
