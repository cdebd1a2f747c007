// Kernel parameters from a Problem and its Buffers.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/arena.h"
#include "kernels/cuda/exec.h"
#include "kernels/problem.h"

namespace rattn::cuda {

template <typename T>
GlobalView<T> ViewOf(const TensorView& view) {
  GlobalView<T> out;
  if (!view) return out;
  out.data = static_cast<T*>(view.data);
  for (size_t axis = 0; axis < 4; ++axis) {
    out.shape[axis] = view.shape[axis];
    out.stride[axis] = view.stride[axis];
  }
  return out;
}

// A contiguous tensor in workspace; null data while an arena only counts.
template <typename T>
GlobalView<T> TakeView(const std::array<int64_t, 4>& shape, Arena* arena) {
  GlobalView<T> out;
  int64_t stride = 1;
  for (size_t axis = 4; axis-- > 0;) {
    out.shape[axis] = shape[axis];
    out.stride[axis] = stride;
    stride *= shape[axis];
  }
  out.data = arena->Take<T>(stride);
  return out;
}

// Tokens [begin, begin + count) of [B, T, H, D].
template <typename T>
GlobalView<T> TokensOf(GlobalView<T> view, int64_t begin, int64_t count) {
  if (view) view.data += begin * view.stride[1];
  view.shape[1] = count;
  return view;
}

// Whether CopyAsync can move rows of `dim` elements of the tensor as it lies.
template <typename T>
bool IsCopyable(const GlobalView<T>& view, int64_t dim) {
  bool copyable = view && view.shape[3] == dim && view.stride[3] == 1 &&
                  reinterpret_cast<uintptr_t>(view.data) % kCopyBytes == 0;
  for (size_t axis = 0; axis < 3; ++axis) {
    const auto bytes = view.stride[axis] * static_cast<int64_t>(sizeof(T));
    copyable = copyable && bytes % kCopyBytes == 0;
  }
  return copyable;
}

// Head dims that kernels are compiled for.
inline int64_t PaddedDim(int64_t dim) {
  return dim <= 64 ? 64 : dim <= 128 ? 128 : 256;
}

inline int CeilDiv(int64_t a, int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

}  // namespace rattn::cuda
