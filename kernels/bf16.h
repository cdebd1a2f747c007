// bfloat16 storage type: the upper half of an IEEE binary32, rounded to nearest
// even.
#pragma once

#include <bit>
#include <cstdint>

namespace rattn {

struct Bf16 {
  uint16_t bits = 0;
};

inline float ToFloat(Bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

inline Bf16 ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  // A NaN whose payload sits in the lower half would round to infinity.
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return Bf16{static_cast<uint16_t>((bits >> 16) | 0x0040u)};
  }
  const uint32_t rounding = 0x7fffu + ((bits >> 16) & 1u);
  return Bf16{static_cast<uint16_t>((bits + rounding) >> 16)};
}

}  // namespace rattn
