#include "kernels/cuda/host/box_copy.h"

#include <cstring>

namespace rattn::cuda {
namespace {

constexpr int kElement = 2;
constexpr int kSwizzleRow = 128;
constexpr int kSwizzleBytes = 1024;  // after which it repeats

bool Inside(const BoxCopy& copy, const std::array<int64_t, 4>& at) {
  for (size_t axis = 0; axis < 4; ++axis) {
    if (at[axis] < 0 || at[axis] >= copy.map.shape[axis]) return false;
  }
  return true;
}

const std::byte* Source(const BoxCopy& copy, const std::array<int64_t, 4>& at) {
  int64_t offset = at[0] * kElement;
  for (size_t axis = 1; axis < 4; ++axis) {
    offset += at[axis] * copy.map.stride[axis - 1];
  }
  return static_cast<const std::byte*>(copy.map.data) + offset;
}

}  // namespace

const char* WhatIsWrong(const BoxCopy& copy) {
  for (const int extent : copy.map.box) {
    if (extent < 1 || extent > 256) return "copies a box beyond 256 elements";
  }
  if (copy.map.box[0] * kElement > kSwizzleRow) {
    return "copies a box with rows beyond the swizzle's 128 bytes";
  }
  if (copy.to % kSwizzleBytes != 0) {
    return "copies a box that begins inside a swizzle of 1024 bytes";
  }
  return nullptr;
}

void RunBoxCopy(const BoxCopy& copy, std::byte* shared) {
  const auto& box = copy.map.box;
  auto to = static_cast<uint32_t>(copy.to);
  std::array<int64_t, 4> i = {};
  for (i[3] = 0; i[3] < box[3]; ++i[3]) {
    for (i[2] = 0; i[2] < box[2]; ++i[2]) {
      for (i[1] = 0; i[1] < box[1]; ++i[1]) {
        for (i[0] = 0; i[0] < box[0]; ++i[0], to += kElement) {
          std::array<int64_t, 4> at = i;
          for (size_t axis = 0; axis < 4; ++axis) at[axis] += copy.first[axis];
          std::byte* place = shared + Swizzled128(to);
          if (Inside(copy, at)) {
            std::memcpy(place, Source(copy, at), kElement);
          } else {
            std::memset(place, 0, kElement);
          }
        }
      }
    }
  }
}

}  // namespace rattn::cuda
