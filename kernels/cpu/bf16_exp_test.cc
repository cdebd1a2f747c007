// The error that bf16_softmax-inl.h states of its exponential.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_exp_test.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_softmax-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

void Exp2Row(const float* x, float* y) {
  _mm512_storeu_ps(y, Exp2ForBf16(_mm512_loadu_ps(x)));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "kernels/cpu/isa.h"

namespace rattn {
namespace {

// Sixteen values from `bits` on, `step` bit patterns apart, against std::exp2.
void CheckExp2(uint32_t bits, uint32_t step) {
  float x[16], y[16];
  for (uint32_t i = 0; i < 16; ++i) {
    x[i] = std::bit_cast<float>(bits + i * step);
    if (!(x[i] <= 127)) x[i] = 0;
  }
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::Exp2Row(x, y);
#endif
  for (int i = 0; i < 16; ++i) {
    const double want = std::exp2(double{x[i]});
    // Denormal powers have the accuracy of denormals as well.
    const double slack = 3.2e-6 * want + 0x1p-149;
    ASSERT_NEAR(y[i], want, slack) << x[i];
  }
}

TEST(Bf16Exp, WithinItsBoundOnAllBf16AndDenseFp32Inputs) {
  if (!TilesOn()) GTEST_SKIP() << "no tiles on this processor";
  for (uint32_t high = 0; high < 1u << 16; high += 16) {
    CheckExp2(high << 16, 1u << 16);
    if (HasFatalFailure()) return;
  }
  constexpr uint32_t kStep = 1021;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 16 * kStep) {
    CheckExp2(static_cast<uint32_t>(bits), kStep);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace rattn
#endif  // HWY_ONCE
