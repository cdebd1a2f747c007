// A typed pointer with a shape and strides: how every tensor reaches a kernel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/bf16.h"
#include "kernels/fp16.h"

namespace rattn {

// kF16 is for GPUs and the reference: no kernel of the CPU computes in it.
enum class Dtype { kF64, kF32, kBF16, kF16 };

constexpr size_t ByteSize(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF64:
      return 8;
    case Dtype::kF32:
      return 4;
    case Dtype::kBF16:
    case Dtype::kF16:
      return 2;
  }
  return 0;
}

constexpr std::string_view Name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF64:
      return "fp64";
    case Dtype::kF32:
      return "fp32";
    case Dtype::kBF16:
      return "bf16";
    case Dtype::kF16:
      return "fp16";
  }
  return "?";
}

// Four axes, outermost first; shorter tensors have leading axes of 1. Strides
// are in elements, may be zero (broadcast) and need not be ordered. A
// default-constructed view is absent: `if (view)` asks for presence.
struct TensorView {
  void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  std::array<int64_t, 4> shape = {1, 1, 1, 1};
  std::array<int64_t, 4> stride = {0, 0, 0, 0};

  explicit operator bool() const { return data != nullptr; }

  int64_t Offset(int64_t i0, int64_t i1, int64_t i2, int64_t i3 = 0) const {
    return i0 * stride[0] + i1 * stride[1] + i2 * stride[2] + i3 * stride[3];
  }
  // Pointer to element [i0, i1, i2, 0]; T must match dtype.
  template <typename T>
  T* Row(int64_t i0, int64_t i1, int64_t i2) const {
    return static_cast<T*>(data) + Offset(i0, i1, i2);
  }
  // One element, widened; for code that need not be fast.
  double Get(int64_t i0, int64_t i1, int64_t i2, int64_t i3) const {
    const int64_t at = Offset(i0, i1, i2, i3);
    switch (dtype) {
      case Dtype::kF64:
        return static_cast<const double*>(data)[at];
      case Dtype::kF32:
        return static_cast<const float*>(data)[at];
      case Dtype::kBF16:
        return ToFloat(static_cast<const Bf16*>(data)[at]);
      case Dtype::kF16:
        return Fp16ToFloat(static_cast<const Fp16*>(data)[at]);
    }
    return 0;
  }
  void Set(int64_t i0, int64_t i1, int64_t i2, int64_t i3, double x) const {
    const int64_t at = Offset(i0, i1, i2, i3);
    switch (dtype) {
      case Dtype::kF64:
        static_cast<double*>(data)[at] = x;
        return;
      case Dtype::kF32:
        static_cast<float*>(data)[at] = static_cast<float>(x);
        return;
      case Dtype::kBF16:
        static_cast<Bf16*>(data)[at] = ToBf16(static_cast<float>(x));
        return;
      case Dtype::kF16:
        static_cast<Fp16*>(data)[at] = ToFp16(static_cast<float>(x));
        return;
    }
  }
  int64_t NumElements() const {
    return shape[0] * shape[1] * shape[2] * shape[3];
  }
};

// Row-major view over `data`.
inline TensorView Contiguous(void* data, Dtype dtype,
                             std::array<int64_t, 4> shape) {
  return {data,
          dtype,
          shape,
          {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1}};
}

}  // namespace rattn
