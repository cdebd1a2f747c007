// The memory branch against its fp64 definition.
#include "kernels/cpu/targets.h"
// After targets.h: uses Highway's dispatch.
#include <hwy/highway.h>

#include <string_view>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_oracle_test_util.h"

namespace rattn {
namespace {

constexpr double kForwardLimit = 1e-6;
constexpr double kBackwardLimit = 2e-6;

Problem MemoryProblem(int64_t delay, FeatureMap map) {
  Problem p;
  p.spec.memory.kind = MemoryKind::kLinear;
  p.spec.memory.feature_map = map;
  p.spec.memory.reads =
      delay == 0 ? MemoryReads::kEverything : MemoryReads::kOutsideWindow;
  p.spec.memory_window_keys = delay;
  p.shape = {.batch = 2,
             .query_heads = 4,
             .kv_heads = 2,
             .query_len = 37,
             .key_len = 37,
             .head_dim = 16,
             .value_dim = 24};
  return p;
}

void SetLength(Problem* p, int64_t length) {
  p->shape.query_len = p->shape.key_len = length;
}

void ExpectClose(const OracleResult& got, const OracleResult& want) {
  EXPECT_LE(RelativeRmse(got.o, want.o), kForwardLimit);
  EXPECT_LE(RelativeRmse(got.final_state, want.final_state), kForwardLimit);
  EXPECT_LE(RelativeRmse(got.dq, want.dq), kBackwardLimit);
  EXPECT_LE(RelativeRmse(got.dk, want.dk), kBackwardLimit);
  EXPECT_LE(RelativeRmse(got.dv, want.dv), kBackwardLimit);
  EXPECT_LE(RelativeRmse(got.d_initial, want.d_initial), kBackwardLimit);
  for (size_t i = 0; i < want.o.size(); ++i) {
    if (want.o[i] == 0) {
      EXPECT_EQ(got.o[i], 0) << "row with nothing to read";
    }
  }
}

// Heads that the branch does not own are left alone: 0xFF bytes, NaN.
void ClearForeignHeads(const Problem& p, Vec* rows, int64_t dim) {
  const HeadRange own = MemoryHeads(p.spec, p.shape.query_heads);
  for (size_t i = 0; i < rows->size(); ++i) {
    const int64_t h = static_cast<int64_t>(i) / dim % p.shape.query_heads;
    if (h >= own.begin && h < own.end) continue;
    EXPECT_TRUE(std::isnan((*rows)[i])) << "head " << h << " was written";
    (*rows)[i] = 0;
  }
}

void Check(const Problem& p, const MemoryCase::Options& options,
           std::initializer_list<Tiling> tilings) {
  MemoryCase c(p, options);
  const OracleResult want = RunOracle(c.problem(), c.Input());
  for (const Tiling& tiling : tilings) {
    SCOPED_TRACE(testing::Message()
                 << "chunk " << tiling.chunk << " m " << tiling.state_every);
    OracleResult got = c.Run(tiling, 1);
    ClearForeignHeads(p, &got.o, p.shape.value_dim);
    ClearForeignHeads(p, &got.dq, p.shape.head_dim);
    ExpectClose(got, want);
  }
}

// ------------------------------------------------------------- the definition

void ExpectDerivative(const Problem& p, const OracleInput& in,
                      Vec OracleInput::*input, const Vec& gradient) {
  const auto loss = [&](const OracleInput& at) {
    const OracleResult y = RunOracle(p, at);
    double sum = 0;
    for (size_t i = 0; i < y.o.size(); ++i) sum += y.o[i] * in.d_o[i];
    for (size_t i = 0; i < y.final_state.size(); ++i) {
      sum += y.final_state[i] * in.d_final[i];
    }
    return sum;
  };
  for (size_t i = 3; i < gradient.size(); i += gradient.size() / 7) {
    constexpr double kStep = 1e-5;
    OracleInput up = in, down = in;
    (up.*input)[i] += kStep;
    (down.*input)[i] -= kStep;
    EXPECT_NEAR((loss(up) - loss(down)) / (2 * kStep), gradient[i], 1e-7);
  }
}

TEST(MemoryOracle, GradientsAreTheDerivativesOfItsValues) {
  for (const bool normalized : {false, true}) {
    Problem p = MemoryProblem(2, FeatureMap::kSoftmax);
    SetLength(&p, 7);
    if (normalized) p.spec.memory.normalizer = Normalizer::kSum;
    p.state_per_query_head = !normalized;
    p.memory_scale = 0.5;
    MemoryCase c(p, {.initial = !normalized, .d_final = true});
    const OracleInput in = c.Input();
    const OracleResult r = RunOracle(p, in);
    ExpectDerivative(p, in, &OracleInput::q, r.dq);
    ExpectDerivative(p, in, &OracleInput::k, r.dk);
    ExpectDerivative(p, in, &OracleInput::v, r.dv);
    if (!normalized)
      ExpectDerivative(p, in, &OracleInput::initial, r.d_initial);
  }
}

// ------------------------------------------------------------------- kernels

class MemoryMaps : public testing::TestWithParam<FeatureMap> {};

TEST_P(MemoryMaps, EqualTheDefinitionForAllDelaysChunksAndLengths) {
  for (const int64_t length : {37, 61, 127}) {
    for (const int64_t delay : {int64_t{0}, int64_t{1}, int64_t{5}, length - 1,
                                length + 13, kUnboundedWindow}) {
      SCOPED_TRACE(testing::Message() << "T " << length << " delay " << delay);
      Problem p = MemoryProblem(delay, GetParam());
      SetLength(&p, length);
      Check(p, {},
            {{0, 0},
             {1, 1},
             {4, 3},
             {8, 2},
             {16, 1},
             {16, 3},
             {64, 2},
             {1000, 1}});
    }
  }
}

TEST_P(MemoryMaps, StartAndEndStates) {
  for (const int64_t delay : {0, 5, 36, 50}) {
    for (const bool per_query_head : {false, true}) {
      SCOPED_TRACE(testing::Message() << "delay " << delay << " per query head "
                                      << per_query_head);
      Problem p = MemoryProblem(delay, GetParam());
      p.state_per_query_head = per_query_head;
      p.memory_scale = 0.75;
      Check(p, {.initial = true, .d_final = true, .padded = true},
            {{0, 0}, {4, 3}, {8, 1}, {16, 2}});
    }
  }
}

TEST_P(MemoryMaps, LargeInputsStayFinite) {
  Problem p = MemoryProblem(3, GetParam());
  MemoryCase c(p, {.scale = 1e4});
  const OracleResult r = c.Run({8, 2}, 1);
  for (const Vec* values : {&r.o, &r.final_state, &r.dq, &r.dk, &r.dv}) {
    for (const double x : *values) ASSERT_TRUE(std::isfinite(x));
  }
}

INSTANTIATE_TEST_SUITE_P(All, MemoryMaps,
                         testing::Values(FeatureMap::kSoftmax,
                                         FeatureMap::kRelu,
                                         FeatureMap::kIdentity));

TEST(Memory, QueriesAndKeysOfDifferentNumber) {
  for (const auto& [queries, keys] : std::vector<std::pair<int64_t, int64_t>>{
           {5, 37}, {1, 37}, {37, 5}, {40, 64}, {64, 64}, {13, 90}}) {
    for (const int64_t delay : {0, 5, 41}) {
      SCOPED_TRACE(testing::Message() << queries << " queries " << keys
                                      << " keys delay " << delay);
      Problem p = MemoryProblem(delay, FeatureMap::kSoftmax);
      p.shape.query_len = queries;
      p.shape.key_len = keys;
      Check(p, {.initial = true, .d_final = true}, {{0, 0}, {8, 3}, {16, 1}});
    }
  }
}

TEST(Memory, GroupsDimsAndBatch) {
  struct Dims {
    int64_t batch, query_heads, kv_heads, head_dim, value_dim;
  };
  for (const Dims& d :
       {Dims{1, 1, 1, 8, 8}, Dims{3, 8, 1, 8, 40}, Dims{1, 6, 2, 40, 8},
        Dims{2, 3, 3, 56, 72}, Dims{1, 5, 1, 128, 128}}) {
    SCOPED_TRACE(testing::Message()
                 << "D " << d.head_dim << " Hq " << d.query_heads);
    Problem p = MemoryProblem(6, FeatureMap::kSoftmax);
    p.shape = {d.batch, d.query_heads, d.kv_heads, 43,
               43,      d.head_dim,    d.value_dim};
    Check(p, {.padded = true}, {{0, 0}, {8, 2}});
  }
}

TEST(Memory, SplitHeadsTouchesOnlyItsOwn) {
  for (const int64_t query_heads : {2, 4, 6, 8}) {
    for (const int64_t kv_heads : {1, 2}) {
      Problem p = MemoryProblem(4, FeatureMap::kSoftmax);
      p.spec.local = {.kind = LocalKind::kWindow, .window_keys = 4};
      p.spec.combine = Combine::kSplitHeads;
      p.shape.query_heads = query_heads;
      p.shape.kv_heads = kv_heads;
      Check(p, {.d_final = true}, {{0, 0}, {4, 3}});
    }
  }
}

TEST(Memory, KeySumNormalizer) {
  for (const int64_t delay : {0, 5}) {
    for (const bool per_query_head : {false, true}) {
      Problem p = MemoryProblem(delay, FeatureMap::kSoftmax);
      SetLength(&p, 61);
      p.spec.memory.normalizer = Normalizer::kSum;
      p.state_per_query_head = per_query_head;
      p.memory_scale = 1.5;
      MemoryCase c(p, {.d_final = true, .key_sum = true});
      const OracleResult want = RunOracle(p, c.Input());
      for (const Tiling tiling : {Tiling{0, 0}, Tiling{8, 3}, Tiling{1, 1}}) {
        for (const int threads : {1, 8}) {
          const OracleResult got = c.Run(tiling, threads);
          ExpectClose(got, want);
          EXPECT_LE(RelativeRmse(got.key_sum, want.key_sum), kForwardLimit);
        }
      }
    }
  }
}

TEST(Memory, Bf16InputsAccumulateInFp32) {
  Problem p = MemoryProblem(5, FeatureMap::kSoftmax);
  p.dtype = Dtype::kBF16;
  SetLength(&p, 127);
  for (std::string_view isa : AvailableIsas()) {
    // Rounds inside: bf16_linear_numeric_test.cc.
    ASSERT_TRUE(ForceIsa(isa));
    if (TilesOn()) continue;
    SCOPED_TRACE(isa);
    Check(p, {.padded = true}, {{0, 0}, {16, 2}});
  }
  ForceIsa("");
}

TEST(Memory, SameBitsForEveryThreadCount) {
  for (const bool per_query_head : {false, true}) {
    for (const Tiling tiling : {Tiling{8, 1}, Tiling{8, 3}, Tiling{0, 0}}) {
      Problem p = MemoryProblem(9, FeatureMap::kSoftmax);
      SetLength(&p, 127);
      p.shape.batch = 1;
      p.state_per_query_head = per_query_head;
      MemoryCase c(p, {.initial = true, .d_final = true});
      const OracleResult one = c.Run(tiling, 1);
      for (const int threads : {2, 3, 4, 7, 64}) {
        ExpectSameBits(one, c.Run(tiling, threads));
      }
    }
  }
}

TEST(Memory, EveryInstructionSetAgrees) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    Check(MemoryProblem(5, FeatureMap::kSoftmax),
          {.initial = true, .d_final = true}, {{8, 2}});
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(Memory, GradientsAreAddedWhereAsked) {
  Problem p = MemoryProblem(5, FeatureMap::kSoftmax);
  p.state_per_query_head = true;
  MemoryCase c(p, {.initial = true});
  const OracleResult once = c.Run({8, 2}, 1);
  const OracleResult twice = c.Run({8, 2}, 1, /*accumulate=*/true);
  for (size_t i = 0; i < once.dq.size(); ++i) {
    EXPECT_FLOAT_EQ(twice.dq[i], 2 * once.dq[i]);
  }
  for (size_t i = 0; i < once.dk.size(); ++i) {
    EXPECT_NEAR(twice.dk[i], 2 * once.dk[i], 1e-5);
  }
  for (size_t i = 0; i < once.dv.size(); ++i) {
    EXPECT_NEAR(twice.dv[i], 2 * once.dv[i], 1e-5);
  }
}

TEST(Memory, ScratchGrowsLinearlyAndStaysSmall) {
  Problem p = MemoryProblem(513, FeatureMap::kSoftmax);
  p.shape = {1, 4, 1, 65536, 65536, 128, 128};
  EXPECT_LT(MemoryScratchBytes(p), size_t{8} << 20);
  p.phase = Phase::kTrain;
  const size_t train = MemoryScratchBytes(p);
  SetLength(&p, 32768);
  const size_t half = MemoryScratchBytes(p);
  EXPECT_LT(train, size_t{128} << 20);
  EXPECT_LE(train, 2 * half);
}

// ------------------------------------------------------------------- decoding

// Steps with the token that each query newly reads equal one forward.
void CheckSteps(Problem p) {
  const Shape& s = p.shape;
  MemoryCase c(p, {.initial = p.spec.memory.normalizer == Normalizer::kNone,
                   .padded = true});
  const OracleResult want = RunOracle(p, c.Input());
  Problem step = p;
  step.phase = Phase::kDecode;
  step.shape.query_len = step.shape.key_len = 1;
  std::vector<char> memory(MemoryScratchBytes(step) + 64, char(0xFF));
  void* base =
      memory.data() + 64 - reinterpret_cast<uintptr_t>(memory.data()) % 64;
  const auto row = [](TensorView view, int64_t t) {
    view.data = static_cast<char*>(view.data) +
                t * view.stride[1] * ByteSize(view.dtype);
    view.shape[1] = 1;
    return view;
  };
  MemoryState state;
  state.state = c.initial_.view;
  if (p.spec.memory.normalizer == Normalizer::kSum) {
    state.key_sum = c.key_sum_.view;
  }
  for (int64_t t = 0; t < s.query_len; ++t) {
    Buffers buffers;
    buffers.q = row(c.q_.view, t);
    const int64_t absorbed = t - MemoryDelay(p.spec);
    TensorView k, v;
    if (absorbed >= 0) {
      k = row(c.k_.view, absorbed);
      v = row(c.v_.view, absorbed);
    }
    const MemoryStepJob job = {step,
                               buffers,
                               k,
                               v,
                               state,
                               row(c.o_.view, t),
                               {base, memory.size() - 64}};
    for (int64_t task = 0; task < job.tasks(); ++task) {
      RunMemoryStep(job, task, static_cast<int>(task % p.threads));
    }
  }
  Vec got = c.o_.Values();
  ClearForeignHeads(p, &got, s.value_dim);
  EXPECT_LE(RelativeRmse(got, want.o), kForwardLimit);
  EXPECT_LE(RelativeRmse(c.initial_.Values(), want.final_state), kForwardLimit);
}

TEST(MemoryStep, StepsEqualForward) {
  for (const int64_t delay : {0, 1, 5, 50}) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(testing::Message() << "delay " << delay);
      Problem p = MemoryProblem(delay, FeatureMap::kSoftmax);
      p.threads = threads;
      p.memory_scale = 0.5;
      CheckSteps(p);
      p.state_per_query_head = true;
      CheckSteps(p);
      p.spec.memory.normalizer = Normalizer::kSum;
      CheckSteps(p);
      p.state_per_query_head = false;
      p.dtype = Dtype::kBF16;
      CheckSteps(p);
      p.spec.local = {.kind = LocalKind::kWindow, .window_keys = delay};
      p.spec.combine = Combine::kSplitHeads;
      p.shape.query_heads = 6;
      CheckSteps(p);
    }
  }
}

}  // namespace
}  // namespace rattn
