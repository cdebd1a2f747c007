// IEEE binary16 storage type with conversions rounded to nearest even, for
// kernels whose hardware has it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace rattn {

struct Fp16 {
  uint16_t bits = 0;
};

inline float Fp16ToFloat(Fp16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity or NaN
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude << 13));
  }
  // Exponent bias 15 becomes 127 by a multiplication, right for subnormals too.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

inline Fp16 ToFp16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const auto with_sign = [sign](uint32_t rest) {
    return Fp16{static_cast<uint16_t>(sign | rest)};
  };
  if (magnitude > 0x7f800000u) return with_sign(0x7e00u);
  if (magnitude >= 0x477ff000u) return with_sign(0x7c00u);  // 65520 and above
  if (magnitude < 0x38800000u) {  // below 2^-14: units of 2^-24
    const float units = std::bit_cast<float>(magnitude) * 0x1p24f;
    return with_sign(static_cast<uint32_t>(std::nearbyint(units)));
  }
  const uint32_t rounding = 0xfffu + ((magnitude >> 13) & 1u);
  return with_sign((magnitude - 0x38000000u + rounding) >> 13);
}

}  // namespace rattn
