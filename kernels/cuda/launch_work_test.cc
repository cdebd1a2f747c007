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

TEST(LaunchWork, MoreSequencesOfAPackTakeNoMoreLaunches) {
  Problem p = ProblemOf("rattention", 100, 900);
  p.phase = Phase::kTrain;
  p.positions.rope = true;
  p.shape.batch = 1;
  // Offsets come with one launch of either pass.
  const size_t alone = CudaLaunches(p, {}, /*most_blocks=*/0).size();
  for (const int64_t count : {1, 2, 900}) {
    std::vector<int64_t> cu_seqlens;
    for (int64_t i = 0; i <= count; ++i) cu_seqlens.push_back(900 * i / count);
    p.cu_seqlens = cu_seqlens;
    EXPECT_EQ(CudaLaunches(p, {}, 0).size(), alone + 2) << count;
  }
}

// The kernel of 9.0 runs there alone, where its larger blocks pay.
TEST(LaunchWork, HopperHasAKernelOfItsOwn) {
  constexpr Gpu kH100 = {90, 132, false};
  const auto kernel = [](const Problem& p, const Gpu& gpu) {
    return CudaLaunches(p, gpu, 1).front().kernel;
  };
  const Problem full = ProblemOf("full", 0, 8192);
  EXPECT_EQ(kernel(full, kH100), "SoftmaxHopper<Bf16, 128>");
  EXPECT_TRUE(CudaLaunches(full, kH100, 1).front().sm90a);
  for (const int capability : {80, 89, 100, 120}) {
    EXPECT_THAT(kernel(full, {capability, 132, false}),
                testing::StartsWith("SoftmaxForward<Bf16, 128"));
  }
  // 16 blocks of 64 rows or 8 of 128: no multiprocessor has two.
  EXPECT_THAT(kernel(ProblemOf("full", 0, 64), kH100),
              testing::StartsWith("SoftmaxForward"));
  // 63 keys beside 32 tokens take two tiles of 64 or one of 128.
  EXPECT_EQ(kernel(ProblemOf("swa", 64, 8192), kH100),
            "SoftmaxHopper<Bf16, 128>");
  // 16 keys beside 16 or 32 tokens fit into one of either.
  EXPECT_THAT(kernel(ProblemOf("swa", 16, 8192), kH100),
              testing::StartsWith("SoftmaxForward"));
  Problem wide = full;
  wide.shape.head_dim = wide.shape.value_dim = 256;
  EXPECT_THAT(kernel(wide, kH100), testing::StartsWith("SoftmaxForward"));
}

// Its boxes know one sequence per batch entry only.
TEST(LaunchWork, PacksStayOnTheKernelOfAllGpus) {
  constexpr int64_t kPack[] = {0, 4096, 8192};
  Problem p = ProblemOf("full", 0, 8192);
  p.shape.batch = 1;
  p.cu_seqlens = kPack;
  const auto launches = CudaLaunches(p, {90, 132, true}, /*most_blocks=*/0);
  ASSERT_EQ(launches.size(), 2u);
  EXPECT_THAT(launches[1].kernel, testing::StartsWith("SoftmaxForward"));
}

// The same products and bytes, in tiles of another size.
TEST(LaunchWork, HopperDoesTheSameWork) {
  const Problem p = ProblemOf("swa", 512, 4096);
  const auto mma = CudaLaunches(p).front();
  const auto hopper = CudaLaunches(p, {90, 132, true}).front();
  EXPECT_EQ(hopper.threads, 384);
  EXPECT_EQ(hopper.blocks() * 2, mma.blocks());
  EXPECT_EQ(hopper.work.bytes, mma.work.bytes);
  EXPECT_NEAR(hopper.work.flops / mma.work.flops, 1, 0.2);
  EXPECT_NEAR(hopper.work.exps / mma.work.exps, 1, 0.2);
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
