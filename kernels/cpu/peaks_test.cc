#include "kernels/cpu/peaks.h"

#include <gtest/gtest.h>

#include "kernels/cpu/bf16_peak.h"

namespace rattn {
namespace {

// Bounds that any processor of the last ten years keeps, loaded or not, and
// that none exceeds: a wrong unit or a dropped loop falls outside.
TEST(Peaks, LieWithinWhatAThreadCanDo) {
  const double flops = PeakFp32Flops(1, 0.02);
  EXPECT_GT(flops, 1e8);
  EXPECT_LT(flops, 1e12);
  const double exps = PeakExps(1, 0.02);
  EXPECT_GT(exps, 1e6);
  EXPECT_LT(exps, flops);
  const double near = PeakReadBandwidth(1 << 14, 1, 0.02);
  EXPECT_GT(near, 1e8);
  EXPECT_LT(near, 1e13);
}

TEST(Peaks, Bf16IsZeroOnlyWithoutTheInstructions) {
  const double flops = PeakBf16Flops(1, 0.02);
  if (!HasBf16Products()) {
    EXPECT_EQ(flops, 0);
    GTEST_SKIP() << "no AMX and no AVX-512 BF16 here";
  }
  for (const double rate : {flops, PeakFedBf16Flops(1, 0.02)}) {
    EXPECT_GT(rate, 1e8);
    EXPECT_LT(rate, 1e14);
  }
}

}  // namespace
}  // namespace rattn
