// The reference against finite differences and against itself in its other
// forms, over the whole catalog.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/reference/reference_backend.h"
#include "kernels/test_packs.h"
#include "kernels/test_tensors.h"
#include "kernels/window.h"

namespace rattn {
namespace {

struct Setting {
  const char* name;
  Shape shape;
  int64_t window = 3;
  TestOptions options = {};
  std::function<void(Problem&)> edit = [](Problem&) {};
};

void UseRope(Problem& p) {
  p.positions = {.rope = true, .theta = 100, .layout = RopeLayout::kHalfSplit};
}

std::vector<Setting> Settings() {
  return {
      {.name = "plain", .shape = MakeShape(1, 2, 2, 7, 7, 8, 8)},
      {.name = "grouped heads, all optional inputs",
       .shape = MakeShape(2, 4, 2, 7, 7, 8, 16),
       .options = {.sink_logit = true,
                   .initial_state = true,
                   .separate_memory = true},
       .edit = UseRope},
      {.name = "start state per query head",
       .shape = MakeShape(1, 4, 2, 6, 6, 8, 8),
       .options = {.initial_state = true},
       .edit =
           [](Problem& p) {
             p.state_per_query_head = true;
             p.positions = {.rope = true,
                            .theta = 5e5,
                            .layout = RopeLayout::kInterleaved};
             p.local_scale = 0.7;
             p.memory_scale = 1.3;
           }},
      {.name = "window of one key",
       .shape = MakeShape(1, 2, 1, 5, 5, 8, 8),
       .window = 1,
       .options = {.norms = false, .initial_state = true}},
      {.name = "window longer than the text",
       .shape = MakeShape(1, 2, 1, 5, 5, 8, 8),
       .window = 9,
       .options = {.initial_state = true},
       .edit = UseRope},
      {.name = "long enough to compress slot positions",
       .shape = MakeShape(1, 2, 1, 14, 14, 8, 8),
       .edit = UseRope},
      {.name = "capped scores",
       .shape = MakeShape(1, 2, 1, 9, 9, 8, 8),
       .options = {.sink_logit = true},
       .edit =
           [](Problem& p) {
             UseRope(p);
             p.local_scale = 1;
             p.local_softcap = 1.5;
           }},
      {.name = "mean of norms",
       .shape = MakeShape(1, 2, 1, 6, 6, 8, 8),
       .options = {.initial_state = true},
       .edit = [](Problem& p) { p.spec.combine = Combine::kMeanOfNorms; }},
  };
}

// Fewer queries than keys exist only without a cache.
std::vector<Setting> ForwardSettings() {
  std::vector<Setting> settings = Settings();
  settings.push_back({.name = "queries at the end of the keys",
                      .shape = MakeShape(1, 2, 1, 4, 11, 8, 8),
                      .options = {.sink_logit = true, .initial_state = true},
                      .edit = UseRope});
  settings.push_back({.name = "more queries than keys",
                      .shape = MakeShape(1, 2, 1, 9, 4, 8, 8),
                      .options = {.initial_state = true},
                      .edit = UseRope});
  settings.push_back({.name = "a pack of sequences",
                      .shape = MakeShape(1, 4, 2, 0, 0, 8, 16),
                      .options = {.sink_logit = true,
                                  .initial_state = true,
                                  .separate_memory = true},
                      .edit = [](Problem& p) {
                        static constexpr int64_t kPack[] = {0, 4, 4, 5, 11};
                        UseRope(p);
                        SetPack(kPack, &p);
                      }});
  return settings;
}

Problem MakeProblem(const Variant& variant, const Setting& setting) {
  Problem problem;
  problem.spec = TestSpec(variant, setting.window);
  problem.phase = Phase::kTrain;
  problem.shape = setting.shape;
  problem.dtype = Dtype::kF64;
  setting.edit(problem);
  return problem;
}

void ForEachCase(
    const std::vector<Setting>& settings,
    const std::function<void(const Problem&, const Setting&)>& run) {
  for (const Variant& variant : Catalog()) {
    for (const Setting& setting : settings) {
      for (Normalizer normalizer : {Normalizer::kNone, Normalizer::kSum}) {
        Problem problem = MakeProblem(variant, setting);
        Setting used = setting;
        if (normalizer == Normalizer::kSum) {
          // Signed features have sums near zero, where nothing is smooth.
          if (!HasMemory(problem.spec) ||
              problem.spec.memory.feature_map == FeatureMap::kIdentity) {
            continue;
          }
          problem.spec.memory.normalizer = normalizer;
          used.options.initial_state = false;
        }
        SCOPED_TRACE(std::string(variant.name) + ", " + setting.name + ", " +
                     Describe(problem.spec));
        ASSERT_EQ(CheckProblem(problem).reason, "");
        run(problem, used);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

const Backend& Reference() { return *ReferenceBackend(); }

double Loss(const Problem& problem, const TestTensors& tensors) {
  RunForward(Reference(), problem, tensors.buffers);
  const auto dot = [](const TensorView& a, const TensorView& b) {
    double sum = 0;
    for (int64_t i = 0; a && b && i < a.NumElements(); ++i) {
      sum += TestTensors::GetFlat(a, i) * TestTensors::GetFlat(b, i);
    }
    return sum;
  };
  return dot(tensors.buffers.o, tensors.buffers.d_o) +
         dot(tensors.buffers.final_state, tensors.buffers.d_final_state);
}

// Central difference of the loss along `direction` of one input.
double Difference(const Problem& problem, const TestTensors& tensors,
                  const TensorView& input, const std::vector<double>& direction,
                  double step) {
  const std::vector<double> at = TestTensors::Flat(input);
  double loss[2];
  for (int side = 0; side < 2; ++side) {
    for (size_t i = 0; i < at.size(); ++i) {
      TestTensors::SetFlat(input, static_cast<int64_t>(i),
                           at[i] + (side == 0 ? step : -step) * direction[i]);
    }
    loss[side] = Loss(problem, tensors);
  }
  for (size_t i = 0; i < at.size(); ++i) {
    TestTensors::SetFlat(input, static_cast<int64_t>(i), at[i]);
  }
  return (loss[0] - loss[1]) / (2 * step);
}

void ExpectGradient(const Problem& problem, const TestTensors& tensors,
                    const char* name, const TensorView& input,
                    const TensorView& gradient) {
  if (!input || !gradient) return;
  const std::vector<double> g = TestTensors::Flat(gradient);
  const size_t n = g.size();
  double norm = 0;
  for (double x : g) norm += x * x;
  norm = std::sqrt(norm);
  for (uint64_t trial = 0; trial < 6; ++trial) {
    const Philox philox(99, trial);
    std::vector<double> direction(n, 0.0);
    double length = 0;
    for (size_t i = 0; i < n; ++i) {
      // Whole random directions first, then single elements.
      direction[i] = trial < 3 ? philox.Normal(i) : 0;
    }
    if (trial >= 3) direction[philox.Bits(0) % n] = 1;
    for (double x : direction) length += x * x;
    for (double& x : direction) x /= std::sqrt(length);
    double expected = 0;
    for (size_t i = 0; i < n; ++i) expected += g[i] * direction[i];
    const double measured =
        Difference(problem, tensors, input, direction, 1e-5);
    EXPECT_NEAR(measured, expected, 2e-7 * (1 + norm)) << "d " << name;
  }
}

TEST(Reference, GradientsAreFiniteDifferences) {
  ForEachCase(
      ForwardSettings(), [](const Problem& problem, const Setting& setting) {
        TestTensors tensors(problem, setting.options, 1);
        const Buffers& b = tensors.buffers;
        ASSERT_EQ(CheckBuffers(problem, b, true).reason, "");
        RunForward(Reference(), problem, b);
        RunBackward(Reference(), problem, b);
        ExpectGradient(problem, tensors, "q", b.q, b.dq);
        ExpectGradient(problem, tensors, "k", b.k, b.dk);
        ExpectGradient(problem, tensors, "v", b.v, b.dv);
        ExpectGradient(problem, tensors, "q_memory", b.q_memory, b.dq_memory);
        ExpectGradient(problem, tensors, "k_memory", b.k_memory, b.dk_memory);
        ExpectGradient(problem, tensors, "norm_local", b.norm_local,
                       b.d_norm_local);
        ExpectGradient(problem, tensors, "norm_memory", b.norm_memory,
                       b.d_norm_memory);
        ExpectGradient(problem, tensors, "sink_logit", b.sink_logit,
                       b.d_sink_logit);
        ExpectGradient(problem, tensors, "initial_state", b.initial_state,
                       b.d_initial_state);
      });
}

TEST(Reference, PiecesThroughACacheGiveWhatOneForwardGives) {
  const std::vector<std::vector<int64_t>> splits = {
      {1}, {2}, {3, 1, 2}, {5}, {100}};
  ForEachCase(Settings(), [&](const Problem& problem, const Setting& setting) {
    for (bool separate : {false, true}) {
      if (setting.options.separate_memory && !separate) continue;
      TestTensors whole(problem, setting.options, 2);
      RunForward(Reference(), problem, whole.buffers);
      for (const std::vector<int64_t>& pieces : splits) {
        TestTensors parts(problem, setting.options, 2);
        const KvCache cache =
            RunExtend(Reference(), problem, parts.buffers, pieces, separate);
        const auto expect = [&](const TensorView& a, const TensorView& b,
                                const char* name) {
          EXPECT_LE(RelativeRms(TestTensors::Flat(a), TestTensors::Flat(b)),
                    1e-12)
              << name << ", pieces of " << pieces[0];
        };
        expect(parts.buffers.o, whole.buffers.o, "o");
        expect(parts.buffers.lse, whole.buffers.lse, "lse");
        expect(parts.buffers.max_logits, whole.buffers.max_logits,
               "max_logits");
        expect(cache.state(), whole.buffers.final_state, "state");
      }
    }
  });
}

TEST(Reference, LastQueriesAloneGiveTheLastRows) {
  for (const Variant& variant : Catalog()) {
    Setting setting{.name = "", .shape = MakeShape(2, 4, 2, 13, 13, 8, 16)};
    setting.options = {.initial_state = true};
    Problem problem = MakeProblem(variant, setting);
    UseRope(problem);
    TestTensors whole(problem, setting.options, 3);
    RunForward(Reference(), problem, whole.buffers);
    Buffers part = whole.buffers;
    TestTensors fresh(problem, setting.options, 4);
    part.q = Tokens(whole.buffers.q, 8, 5);
    part.o = Tokens(fresh.buffers.o, 8, 5);
    part.lse = part.max_logits = part.o_local = part.o_memory = {};
    problem.phase = Phase::kForward;
    problem.shape.query_len = 5;
    RunForward(Reference(), problem, part);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t i = 8; i < 13; ++i) {
        for (int64_t h = 0; h < 4; ++h) {
          for (int64_t c = 0; c < 16; ++c) {
            EXPECT_EQ(fresh.buffers.o.Get(b, i, h, c),
                      whole.buffers.o.Get(b, i, h, c))
                << variant.name;
          }
        }
      }
    }
  }
}

TEST(Reference, RowsThatSeeNothingAreZero) {
  for (const Variant& variant : Catalog()) {
    Setting setting{.name = "", .shape = MakeShape(1, 2, 1, 6, 2, 8, 8)};
    const Problem problem = MakeProblem(variant, setting);
    TestTensors tensors(problem, {}, 5);
    RunForward(Reference(), problem, tensors.buffers);
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t h = 0; h < 2; ++h) {
        for (int64_t c = 0; c < 8; ++c) {
          EXPECT_EQ(tensors.buffers.o.Get(0, i, h, c), 0) << variant.name;
        }
        if (!HasLocal(problem.spec)) continue;
        EXPECT_EQ(tensors.buffers.lse.Get(0, i, h, 0), -HUGE_VAL);
        EXPECT_EQ(tensors.buffers.max_logits.Get(0, i, h, 0), -HUGE_VAL);
      }
    }
    RunBackward(Reference(), problem, tensors.buffers);
    for (double x : TestTensors::Flat(Tokens(tensors.buffers.dq, 0, 4))) {
      EXPECT_EQ(x, 0) << variant.name;
    }
  }
}

TEST(Reference, AWindowOverTheWholeTextLeavesTheMemoryNothing) {
  for (const Variant& variant : Catalog()) {
    if (variant.spec.memory.reads != MemoryReads::kOutsideWindow ||
        !HasMemory(variant.spec)) {
      continue;
    }
    for (int64_t window : {7, 8, 50}) {
      Setting setting{.name = "", .shape = MakeShape(1, 2, 2, 7, 7, 8, 8)};
      setting.window = window;
      const Problem problem = MakeProblem(variant, setting);
      TestTensors tensors(problem, {}, 6);
      RunForward(Reference(), problem, tensors.buffers);
      for (double x : TestTensors::Flat(tensors.buffers.o_memory)) {
        EXPECT_EQ(x, 0) << variant.name;
      }
      for (double x : TestTensors::Flat(tensors.buffers.final_state)) {
        EXPECT_EQ(x, 0) << variant.name;
      }
      for (double x : TestTensors::Flat(tensors.buffers.o)) {
        EXPECT_TRUE(std::isfinite(x)) << variant.name;
      }
    }
  }
}

TEST(Reference, AWindowOfOneKeyReturnsTheValue) {
  for (const Variant& variant : Catalog()) {
    Setting setting{.name = "", .shape = MakeShape(1, 4, 2, 6, 6, 8, 8)};
    setting.window = 1;
    Problem problem = MakeProblem(variant, setting);
    if (problem.spec.local.kind != LocalKind::kWindow) continue;
    TestTensors tensors(problem, {}, 7);
    RunForward(Reference(), problem, tensors.buffers);
    for (int64_t i = 0; i < 6; ++i) {
      const HeadRange heads = LocalHeads(problem.spec, 4);
      for (int64_t h = heads.begin; h < heads.end; ++h) {
        for (int64_t c = 0; c < 8; ++c) {
          EXPECT_EQ(tensors.buffers.o_local.Get(0, i, h, c),
                    tensors.buffers.v.Get(0, i, h / 2, c))
              << variant.name;
        }
      }
    }
  }
}

// A sink logit without keys to share with takes all the weight; a very low one
// takes none.
TEST(Reference, SinkLogitIsAScoreWithoutAValue) {
  for (const Variant& variant : Catalog()) {
    Setting setting{.name = "", .shape = MakeShape(1, 2, 2, 6, 6, 8, 8)};
    const Problem problem = MakeProblem(variant, setting);
    if (!HasLocal(problem.spec)) continue;
    TestTensors without(problem, {}, 8);
    RunForward(Reference(), problem, without.buffers);
    TestTensors with(problem, {.sink_logit = true}, 8);
    for (auto [logit, weight] : {std::pair{-1e4, 1.0}, {1e4, 0.0}}) {
      with.buffers.q = without.buffers.q;
      with.buffers.k = without.buffers.k;
      with.buffers.v = without.buffers.v;
      for (int64_t h = 0; h < 2; ++h) {
        with.buffers.sink_logit.Set(0, 0, 0, h, logit);
      }
      RunForward(Reference(), problem, with.buffers);
      const std::vector<double> a = TestTensors::Flat(with.buffers.o_local);
      const std::vector<double> b = TestTensors::Flat(without.buffers.o_local);
      for (size_t i = 0; i < a.size(); ++i) {
        EXPECT_NEAR(a[i], weight * b[i], 1e-15) << variant.name;
      }
    }
  }
}

// fp32 and bf16 problems are computed in fp64 and rounded once.
TEST(Reference, NarrowDtypesAreRoundedOnce) {
  for (const Variant& variant : Catalog()) {
    for (Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
      Setting setting{.name = "", .shape = MakeShape(2, 4, 2, 9, 9, 16, 8)};
      Problem narrow = MakeProblem(variant, setting);
      narrow.dtype = dtype;
      Problem wide = narrow;
      wide.dtype = Dtype::kF64;
      TestTensors a(narrow, {}, 9), b(wide, {}, 9);
      for (TensorView Buffers::*input :
           {&Buffers::q, &Buffers::k, &Buffers::v, &Buffers::d_o,
            &Buffers::norm_local, &Buffers::norm_memory,
            &Buffers::d_final_state}) {
        const std::vector<double> values = TestTensors::Flat(a.buffers.*input);
        for (size_t i = 0; i < values.size(); ++i) {
          TestTensors::SetFlat(b.buffers.*input, static_cast<int64_t>(i),
                               values[i]);
        }
      }
      for (const auto& [problem, tensors] :
           {std::pair{&narrow, &a}, std::pair{&wide, &b}}) {
        RunForward(Reference(), *problem, tensors->buffers);
        RunBackward(Reference(), *problem, tensors->buffers);
      }
      for (TensorView Buffers::*output :
           {&Buffers::o, &Buffers::final_state, &Buffers::dq, &Buffers::dk,
            &Buffers::dv, &Buffers::d_norm_local}) {
        const TensorView exact = b.buffers.*output, rounded = a.buffers.*output;
        for (int64_t i = 0; exact && i < exact.NumElements(); ++i) {
          const double before = TestTensors::GetFlat(rounded, i);
          TestTensors::SetFlat(rounded, i, TestTensors::GetFlat(exact, i));
          EXPECT_EQ(before, TestTensors::GetFlat(rounded, i)) << variant.name;
        }
      }
    }
  }
}

TEST(Reference, ThreadsChangeNothing) {
  for (const Variant& variant : Catalog()) {
    Setting setting{.name = "", .shape = MakeShape(2, 6, 3, 9, 9, 8, 8)};
    Problem problem = MakeProblem(variant, setting);
    TestTensors one(problem, {}, 10), many(problem, {}, 10);
    RunForward(Reference(), problem, one.buffers);
    RunBackward(Reference(), problem, one.buffers);
    problem.threads = 4;
    RunForward(Reference(), problem, many.buffers);
    RunBackward(Reference(), problem, many.buffers);
    for (TensorView Buffers::*output :
         {&Buffers::o, &Buffers::final_state, &Buffers::dq, &Buffers::dk,
          &Buffers::dv, &Buffers::d_norm_local, &Buffers::d_norm_memory}) {
      EXPECT_EQ(TestTensors::Flat(one.buffers.*output),
                TestTensors::Flat(many.buffers.*output))
          << variant.name;
    }
  }
}

TEST(Reference, APackIsItsSequencesOneByOne) {
  Setting setting{.name = "", .shape = MakeShape(1, 2, 1, 0, 0, 8, 8)};
  setting.options = {.sink_logit = true, .initial_state = true};
  for (const Variant& variant : Catalog()) {
    SCOPED_TRACE(variant.name);
    Problem problem = MakeProblem(variant, setting);
    UseRope(problem);
    SetPack(kEmptySequences, &problem);
    problem.threads = 2;
    ExpectPackEqualsCalls(Reference(), problem, setting.options);
  }
}

TEST(Reference, StridesChangeNothing) {
  for (const Variant& variant : Catalog()) {
    Setting setting{.name = "", .shape = MakeShape(2, 4, 2, 9, 9, 8, 8)};
    const Problem problem = MakeProblem(variant, setting);
    TestTensors packed(problem, {}, 11), strided(problem, {}, 11);
    for (TensorView Buffers::*tensor :
         {&Buffers::q, &Buffers::k, &Buffers::v, &Buffers::o, &Buffers::d_o,
          &Buffers::dq, &Buffers::dk, &Buffers::dv}) {
      // [B, H, T, D] in memory, twice as wide as needed.
      const TensorView from = packed.buffers.*tensor;
      const auto [b, t, h, d] = from.shape;
      TensorView to = strided.Zeros({b, h, t, 2 * d}, from.dtype);
      to = {to.data,
            to.dtype,
            from.shape,
            {to.stride[0], to.stride[2], to.stride[1], 2}};
      for (int64_t i = 0; i < from.NumElements(); ++i) {
        const int64_t at[] = {i / (t * h * d), i / (h * d) % t, i / d % h,
                              i % d};
        to.Set(at[0], at[1], at[2], at[3],
               from.Get(at[0], at[1], at[2], at[3]));
      }
      strided.buffers.*tensor = to;
    }
    for (const TestTensors* tensors : {&packed, &strided}) {
      RunForward(Reference(), problem, tensors->buffers);
      RunBackward(Reference(), problem, tensors->buffers);
    }
    for (TensorView Buffers::*tensor :
         {&Buffers::o, &Buffers::dq, &Buffers::dk, &Buffers::dv}) {
      const TensorView a = packed.buffers.*tensor, b = strided.buffers.*tensor;
      const auto [nb, t, h, d] = a.shape;
      for (int64_t i = 0; i < a.NumElements(); ++i) {
        const int64_t at[] = {i / (t * h * d), i / (h * d) % t, i / d % h,
                              i % d};
        ASSERT_EQ(a.Get(at[0], at[1], at[2], at[3]),
                  b.Get(at[0], at[1], at[2], at[3]))
            << variant.name;
      }
    }
  }
}

}  // namespace
}  // namespace rattn
