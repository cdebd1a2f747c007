#include "kernels/fp16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rattn {
namespace {

bool IsNan(uint32_t bits) { return (bits & 0x7fffu) > 0x7c00u; }

TEST(Fp16, EveryValueSurvives) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const Fp16 x{static_cast<uint16_t>(bits)};
    if (IsNan(bits)) {
      EXPECT_TRUE(std::isnan(Fp16ToFloat(x)));
      EXPECT_TRUE(IsNan(ToFp16(Fp16ToFloat(x)).bits));
    } else {
      ASSERT_EQ(ToFp16(Fp16ToFloat(x)).bits, bits);
    }
  }
}

// Between every two neighbours: below, at and above the middle.
TEST(Fp16, RoundsToNearestEven) {
  for (uint16_t bits = 0; bits < 0x7bffu; ++bits) {
    const float low = Fp16ToFloat(Fp16{bits});
    const float high = Fp16ToFloat(Fp16{static_cast<uint16_t>(bits + 1)});
    const float middle = (low + high) / 2;
    ASSERT_EQ(ToFp16(std::nextafter(middle, 0.f)).bits, bits);
    ASSERT_EQ(ToFp16(middle).bits, bits + (bits & 1));
    ASSERT_EQ(ToFp16(-std::nextafter(middle, high)).bits, 0x8000 + bits + 1);
  }
}

TEST(Fp16, KnownValues) {
  EXPECT_EQ(ToFp16(1.f).bits, 0x3c00);
  EXPECT_EQ(ToFp16(-2.f).bits, 0xc000);
  EXPECT_EQ(ToFp16(65519.f).bits, 0x7bff);
  EXPECT_EQ(ToFp16(65520.f).bits, 0x7c00);
  EXPECT_EQ(ToFp16(-std::numeric_limits<float>::infinity()).bits, 0xfc00);
  EXPECT_EQ(Fp16ToFloat(Fp16{0x0001}), 0x1p-24f);
}

}  // namespace
}  // namespace rattn
