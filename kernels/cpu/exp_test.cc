// The error that the kernels' exponentials state, on every instruction set:
// over all bf16 inputs and a dense sweep of the fp32 ones.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/exp_test.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_softmax-inl.h"

#ifndef RATTN_EXP_TEST_ONCE
#define RATTN_EXP_TEST_ONCE
namespace rattn {
inline constexpr int64_t kExpBlock = 4096;  // values a call, whole vectors
}
#endif  // RATTN_EXP_TEST_ONCE

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

int64_t TargetOfExp() { return HWY_TARGET; }

void ExpBlock(const float* x, float* y) {
  const TileD d;
  for (int64_t i = 0; i < kExpBlock; i += hn::Lanes(d)) {
    hn::StoreU(Exp(hn::LoadU(d, x + i)), d, y + i);
  }
}

void Exp2Block(const float* x, float* y) {
  const TileD d;
  for (int64_t i = 0; i < kExpBlock; i += hn::Lanes(d)) {
    hn::StoreU(Exp2(hn::LoadU(d, x + i)), d, y + i);
  }
}

#if HWY_TARGET == HWY_AVX3
void Exp2ForBf16Block(const float* x, float* y) {
  for (int64_t i = 0; i < kExpBlock; i += kSide) {
    _mm512_storeu_ps(y + i, Exp2ForBf16(_mm512_loadu_ps(x + i)));
  }
}
#endif  // HWY_TARGET == HWY_AVX3

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "kernels/cpu/isa.h"

namespace rattn {
namespace {

HWY_EXPORT(TargetOfExp);
HWY_EXPORT(ExpBlock);
HWY_EXPORT(Exp2Block);

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What is stated of an exponential.
struct Bound {
  double (*exact)(double);
  double relative;       // error from `low` to `high`
  double low, high;      // inputs
  double largest_below;  // result for inputs below `low`
};
constexpr Bound kExp = {[](double x) { return std::exp(x); }, 2.5e-7, -87.33f,
                        88, 0};
constexpr Bound kExp2 = {[](double x) { return std::exp2(x); }, 2e-7, -126, 127,
                         0x1p-126};
constexpr Bound kExp2ForBf16 = {kExp2.exact, 3.2e-6, -kInfinity, 127, 0};

using Block = std::array<float, kExpBlock>;
using BlockFunction = void (*)(const float*, float*);

// Inputs whose bit patterns are `step` apart, from `bits` on; those above the
// bound's range are replaced by 0.
void CheckBlock(const Bound& bound, BlockFunction function, uint32_t bits,
                uint32_t step) {
  Block x, y;
  for (uint32_t i = 0; i < kExpBlock; ++i) {
    x[i] = std::bit_cast<float>(bits + i * step);
    if (x[i] > bound.high) x[i] = 0;
  }
  function(x.data(), y.data());
  for (int64_t i = 0; i < kExpBlock; ++i) {
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(y[i])) << "hides a NaN, " << y[i];
    } else if (x[i] < bound.low) {
      ASSERT_GE(y[i], 0) << x[i];
      ASSERT_LE(y[i], bound.largest_below) << x[i];
    } else {
      const double want = bound.exact(x[i]);
      // Denormal results have the accuracy of denormals as well.
      ASSERT_NEAR(y[i], want, bound.relative * want + 0x1p-149) << x[i];
    }
  }
}

void CheckAll(const Bound& bound, BlockFunction function) {
  constexpr uint32_t kBf16Step = 1u << 16;
  constexpr uint32_t kDenseStep = 1021;  // odd, so that low bits vary
  for (const uint32_t step : {kBf16Step, kDenseStep}) {
    const uint64_t block = uint64_t{kExpBlock} * step;
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += block) {
      CheckBlock(bound, function, static_cast<uint32_t>(bits), step);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

class Exponentials : public testing::Test {
 protected:
  void TearDown() override { ForceIsa(""); }
};

TEST_F(Exponentials, KeepTheirBoundsOnEveryIsa) {
  std::set<int64_t> targets;
  for (const std::string_view isa : AvailableIsas()) {
    ASSERT_TRUE(ForceIsa(isa));
    if (TilesOn()) continue;  // the same vectors as AVX-512 without tiles
    SCOPED_TRACE(isa);
    ASSERT_TRUE(targets.insert(HWY_DYNAMIC_DISPATCH(TargetOfExp)()).second)
        << "the previous instruction set ran again";
    CheckAll(kExp, HWY_DYNAMIC_DISPATCH(ExpBlock));
    CheckAll(kExp2, HWY_DYNAMIC_DISPATCH(Exp2Block));
    if (HasFatalFailure()) return;
  }
}

TEST_F(Exponentials, ForBf16KeepsItsBound) {
  if (!TilesOn()) GTEST_SKIP() << "no tiles on this processor";
#if HWY_TARGETS & HWY_AVX3
  CheckAll(kExp2ForBf16, N_AVX3::Exp2ForBf16Block);
#endif
}

}  // namespace
}  // namespace rattn
#endif  // HWY_ONCE
