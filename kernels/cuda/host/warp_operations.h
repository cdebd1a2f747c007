// What the lanes of a warp do together, on the arguments of all 32 of them,
// and conversions. Every index is fixed by the layout of exec.h, so this file's
// code is compiled optimised and without sanitizers in every build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/bf16.h"
#include "kernels/cuda/exec.h"
#include "kernels/fp16.h"

namespace rattn::cuda::host {

template <typename T>
T Rounded(float x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return ToBf16(x);
  } else if constexpr (std::is_same_v<T, Fp16>) {
    return ToFp16(x);
  } else {
    return x;
  }
}
inline float Widened(float x) { return x; }
inline float Widened(Bf16 x) { return ToFloat(x); }
inline float Widened(Fp16 x) { return Fp16ToFloat(x); }

// `count` elements of 16 bits.
template <typename T>  // Bf16 or Fp16
void ToFloats(const std::byte* from, int count, float* to);

struct MmaArguments {
  FragmentA a;
  FragmentB b;
  Accumulator* c;
};
template <typename T>  // Bf16 or Fp16
void MmaOfWarp(void* const* arguments);

struct LoadMatrixArguments {
  const uint16_t* row;  // eight elements; null: not readable
  Word4* out;
};
template <bool kTransposed>
void LoadMatrixOfWarp(void* const* arguments);

struct ShuffleArguments {
  float in;
  int mask;
  float out;
};
void ShuffleXorOfWarp(void* const* arguments);

}  // namespace rattn::cuda::host
