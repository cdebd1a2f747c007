#include "kernels/cuda/launch_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/cost.h"
#include "kernels/cuda/support.h"
#include "kernels/test_tensors.h"

namespace rattn::cuda {
namespace {

Problem ProblemOf(const char* variant, int64_t window, int64_t length) {
  Problem p;
  p.spec = TestSpec(*FindVariant(variant), window);
  p.dtype = Dtype::kBF16;
  p.shape = {2, 8, 2, length, length, 128, 128};
  return p;
}

double Sum(const std::vector<PlannedLaunch>& launches,
           double LaunchWork::*what) {
  return std::accumulate(
      launches.begin(), launches.end(), 0.0,
      [what](double sum, const auto& l) { return sum + l.work.*what; });
}

// 64 rows of 4 heads are 16 tokens; block i of a full mixer walks the tiles of
// 64 keys up to its last token.
TEST(LaunchWork, FullAttentionIsTheSumOfItsTiles) {
  const Problem p = ProblemOf("full", 0, 512);
  const auto launches = CudaLaunches(p, {}, /*most_blocks=*/1000);
  ASSERT_EQ(launches.size(), 1u);
  const PlannedLaunch& launch = launches.front();
  EXPECT_EQ(launch.kernel, "SoftmaxForward<Bf16, 128, (KeySource)0>");
  EXPECT_EQ(launch.threads, 128);
  EXPECT_EQ(launch.blocks(), 32 * 2 * 2);
  double tiles = 0;
  for (int block = 0; block < 32; ++block) tiles += block * 16 / 64 + 1;
  const double pairs = 2 * 2 * tiles * 64 * 64;
  EXPECT_EQ(launch.work.flops, pairs * 2 * (128 + 128));
  // Beside each weight: two factors per row and tile, some at the end.
  EXPECT_GE(launch.work.exps, pairs);
  EXPECT_LE(launch.work.exps, 1.2 * pairs);
  const double q = 2.0 * 512 * 8 * 128 * 2, k = q / 4;
  EXPECT_EQ(launch.work.bytes, 2 * q + 2 * k);
  EXPECT_GT(launch.work.requested_bytes, launch.work.bytes);
}

TEST(LaunchWork, SampledBlocksStandForAll) {
  for (const char* variant : {"full", "swa", "rattention"}) {
    SCOPED_TRACE(variant);
    Problem p = ProblemOf(variant, 256, 4096);
    p.phase = Phase::kTrain;
    const auto all = CudaLaunches(p, {}, 1 << 20), some = CudaLaunches(p);
    ASSERT_EQ(all.size(), some.size());
    for (const auto what : {&LaunchWork::flops, &LaunchWork::exps,
                            &LaunchWork::bytes, &LaunchWork::requested_bytes}) {
      EXPECT_NEAR(Sum(some, what), Sum(all, what), 0.03 * Sum(all, what));
    }
  }
}

// Kernels do at least what the definition asks for; long sequences leave
// little beside it.
TEST(LaunchWork, AgreesWithTheCostOfEveryVariant) {
  for (const Variant& variant : Catalog()) {
    SCOPED_TRACE(std::string(variant.name));
    const Problem p =
        ProblemOf(variant.name.data(), variant.takes_window ? 1024 : 0, 8192);
    if (!CudaSupports(p).ok()) continue;
    const double useful = ForwardCost(p).useful_flops;
    const double flops = Sum(CudaLaunches(p), &LaunchWork::flops);
    EXPECT_GE(flops, 0.99 * useful);
    // Products with the keys behind a state of 256 tokens are the most.
    EXPECT_LE(flops, 4 * useful);
  }
}

TEST(LaunchWork, TrainingAddsTheBackwardPass) {
  Problem p = ProblemOf("swa", 512, 2048);
  const auto forward = CudaLaunches(p);
  p.phase = Phase::kTrain;
  const auto train = CudaLaunches(p);
  EXPECT_EQ(train.front().kernel, forward.front().kernel);
  const double ratio =
      Sum(train, &LaunchWork::flops) / Sum(forward, &LaunchWork::flops);
  EXPECT_GT(ratio, 3.5);
  // Scores are computed for queries and for keys.
  EXPECT_LT(ratio, 5.5);
}

}  // namespace
}  // namespace rattn::cuda
