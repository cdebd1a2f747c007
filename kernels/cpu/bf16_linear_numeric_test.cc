// The memory branch on bf16 tiles against the AVX-512 passes, which multiply
// the same bf16 inputs in fp32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_oracle_test_util.h"

namespace rattn {
namespace {

// Four roundings to bf16 as kRoundingsInside of cpu_test_cases.h, each an error
// of about 1.6e-3.
constexpr double kLimit = 6.6e-3;

class Bf16Linear : public testing::Test {
 protected:
  void SetUp() override {
    if (!TilesOn()) GTEST_SKIP() << "no tiles on this processor";
  }
  void TearDown() override { ForceIsa(""); }
};

Problem MemoryProblem(FeatureMap map, int64_t delay, int64_t length) {
  Problem p;
  p.spec.memory.kind = MemoryKind::kLinear;
  p.spec.memory.feature_map = map;
  p.spec.memory.reads =
      delay == 0 ? MemoryReads::kEverything : MemoryReads::kOutsideWindow;
  p.spec.memory_window_keys = delay;
  p.dtype = Dtype::kBF16;
  p.shape = {.batch = 2,
             .query_heads = 4,
             .kv_heads = 2,
             .query_len = length,
             .key_len = length,
             .head_dim = 40,
             .value_dim = 24};
  return p;
}

// Values that no one writes (heads of the other branch) are NaN.
Vec Written(Vec values) {
  for (double& x : values) {
    if (std::isnan(x)) x = 0;
  }
  return values;
}

void ExpectClose(const Vec& got, const Vec& want, const char* name) {
  EXPECT_EQ(std::count_if(got.begin(), got.end(),
                          [](double x) { return std::isnan(x); }),
            std::count_if(want.begin(), want.end(),
                          [](double x) { return std::isnan(x); }))
      << name;
  EXPECT_LE(RelativeRmse(Written(got), Written(want)), kLimit) << name;
}

void Compare(const Problem& p, const MemoryCase::Options& options,
             const Tiling& tiling) {
  SCOPED_TRACE(testing::Message()
               << "map " << static_cast<int>(p.spec.memory.feature_map) << " T "
               << p.shape.key_len << " delay " << p.spec.memory_window_keys
               << " chunk " << tiling.chunk << " m " << tiling.state_every);
  MemoryCase c(p, options);
  ASSERT_TRUE(ForceIsa("avx512"));
  const OracleResult want = c.Run(tiling, 1);
  ASSERT_TRUE(ForceIsa(""));
  for (const std::string_view isa : AvailableIsas()) {
    ASSERT_TRUE(ForceIsa(isa));
    if (!TilesOn()) break;
    SCOPED_TRACE(isa);
    ASSERT_TRUE(UsesBf16Linear(c.problem()));
    const OracleResult got = c.Run(tiling, 3);
    ExpectClose(got.o, want.o, "o");
    ExpectClose(got.final_state, want.final_state, "final_state");
    ExpectClose(got.dq, want.dq, "dq");
    ExpectClose(got.dk, want.dk, "dk");
    ExpectClose(got.dv, want.dv, "dv");
    ExpectClose(got.d_initial, want.d_initial, "d_initial");
  }
}

TEST_F(Bf16Linear, EqualsAvx512ForAllMapsDelaysChunksAndLengths) {
  for (const FeatureMap map :
       {FeatureMap::kSoftmax, FeatureMap::kRelu, FeatureMap::kIdentity}) {
    for (const int64_t length : {1, 5, 67, 211}) {
      for (const int64_t delay : {int64_t{0}, int64_t{1}, int64_t{33},
                                  length - 1, kUnboundedWindow}) {
        const Problem p = MemoryProblem(map, delay, length);
        for (const int64_t chunk : {0, 7, 64, 100}) Compare(p, {}, {chunk, 2});
      }
    }
  }
}

TEST_F(Bf16Linear, EqualsAvx512FromAndToStates) {
  for (const bool per_query_head : {false, true}) {
    for (const Tiling tiling : {Tiling{7, 3}, Tiling{64, 1}, Tiling{160, 4}}) {
      Problem p = MemoryProblem(FeatureMap::kSoftmax, 33, 211);
      p.state_per_query_head = per_query_head;
      p.memory_scale = 0.75;
      Compare(p, {.initial = true, .d_final = true, .padded = true}, tiling);
    }
  }
}

TEST_F(Bf16Linear, EqualsAvx512ForOtherShapes) {
  for (const auto& [queries, keys] : std::vector<std::pair<int64_t, int64_t>>{
           {5, 90}, {90, 5}, {70, 150}, {150, 70}}) {
    for (const int64_t delay : {0, 9}) {
      Problem p = MemoryProblem(FeatureMap::kSoftmax, delay, keys);
      p.shape.query_len = queries;
      p.shape.head_dim = 8;
      p.shape.value_dim = 72;
      Compare(p, {.initial = true, .d_final = true}, {48, 2});
    }
  }
}

TEST_F(Bf16Linear, SplitHeadsTouchesOnlyItsOwn) {
  Problem p = MemoryProblem(FeatureMap::kSoftmax, 4, 67);
  p.spec.local = {.kind = LocalKind::kWindow, .window_keys = 4};
  p.spec.combine = Combine::kSplitHeads;
  Compare(p, {.d_final = true}, {32, 2});
}

TEST_F(Bf16Linear, SameBitsForEveryThreadCount) {
  for (const bool per_query_head : {false, true}) {
    for (const Tiling tiling : {Tiling{7, 3}, Tiling{64, 1}, Tiling{0, 0}}) {
      Problem p = MemoryProblem(FeatureMap::kSoftmax, 9, 307);
      p.shape.batch = 1;
      p.state_per_query_head = per_query_head;
      MemoryCase c(p, {.initial = true, .d_final = true});
      const OracleResult one = c.Run(tiling, 1);
      for (const int threads : {2, 3, 7}) {
        ExpectSameBits(one, c.Run(tiling, threads));
      }
    }
  }
}

TEST_F(Bf16Linear, LargeInputsStayFinite) {
  MemoryCase c(MemoryProblem(FeatureMap::kSoftmax, 3, 67), {.scale = 1e4});
  const OracleResult r = c.Run({8, 2}, 1);
  for (const Vec* values : {&r.o, &r.final_state, &r.dq, &r.dk, &r.dv}) {
    for (const double x : *values) ASSERT_TRUE(std::isfinite(x));
  }
}

}  // namespace
}  // namespace rattn
