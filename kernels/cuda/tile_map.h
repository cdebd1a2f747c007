// Tensors that CopyBox reads (exec.h).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

inline constexpr int kPanelColumns = 64;  // 128 bytes, a row of the swizzle

// Boxes of kPanelColumns columns and `rows` tokens of one head of `view`
// [B, T, H, D]; coordinates are column, head, token, sequence.
template <typename T>
TileMap MapOfTokens(const GlobalView<const T>& view, int rows) {
  static_assert(sizeof(T) == 2);
  constexpr int kAxes[4] = {3, 2, 1, 0};
  TileMap map;
  map.data = view.data;
  for (int i = 0; i < 4; ++i) map.shape[i] = view.shape[kAxes[i]];
  int64_t least = map.shape[0] * int64_t{sizeof(T)};
  for (int i = 0; i < 3; ++i) {
    const int64_t bytes = view.stride[kAxes[i + 1]] * int64_t{sizeof(T)};
    // Nothing is ever a stride away along an axis of one.
    least = map.stride[i] = map.shape[i + 1] == 1 ? least : bytes;
  }
  map.box[0] = kPanelColumns;
  map.box[2] = rows;
  map.box[1] = map.box[3] = 1;
  return map;
}

// Whether a tensor map can be encoded: sizes below 2^32, strides of 16 bytes
// below 2^40 that grow from axis to axis (cuTensorMapEncodeTiled).
inline bool IsMappable(const TileMap& map) {
  bool mappable = true;
  int64_t before = map.shape[0] * 2;
  for (const int64_t stride : map.stride) {
    mappable = mappable && stride % kCopyBytes == 0 && stride >= before &&
               stride < int64_t{1} << 40;
    before = stride;
  }
  for (const int64_t extent : map.shape) {
    mappable = mappable && extent > 0 && extent <= int64_t{1} << 32;
  }
  return mappable;
}

}  // namespace rattn::cuda
