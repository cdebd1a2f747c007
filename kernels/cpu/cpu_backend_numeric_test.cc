// The cpu backend against the fp64 reference: every variant of the catalog,
// both dtypes, all phases, on every instruction set that this machine has.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/test_tensors.h"
#include "kernels/window.h"

namespace rattn {
namespace {

struct Case {
  const char* name;
  Shape shape;
  int64_t window = 5;
  TestOptions options = {};
  std::function<void(Problem&)> edit = [](Problem&) {};
};

Shape MakeShape(int64_t batch, int64_t query_heads, int64_t kv_heads,
                int64_t query_len, int64_t key_len, int64_t head_dim,
                int64_t value_dim) {
  return {.batch = batch,
          .query_heads = query_heads,
          .kv_heads = kv_heads,
          .query_len = query_len,
          .key_len = key_len,
          .head_dim = head_dim,
          .value_dim = value_dim};
}

void HalfSplitRope(Problem& p) {
  p.positions = {.rope = true, .theta = 1e4, .layout = RopeLayout::kHalfSplit};
}
void InterleavedRope(Problem& p) {
  p.positions = {
      .rope = true, .theta = 5e5, .layout = RopeLayout::kInterleaved};
}

constexpr TestOptions kAllInputs = {
    .sink_logit = true, .initial_state = true, .separate_memory = true};

// Small ones that reach every kind of edge: these also run on lower
// instruction sets and through caches.
std::vector<Case> SmallCases() {
  return {
      {.name = "prime length", .shape = MakeShape(1, 2, 2, 67, 67, 8, 8)},
      {.name = "groups of two, batch, all inputs, rope",
       .shape = MakeShape(2, 4, 2, 71, 71, 16, 24),
       .window = 16,
       .options = kAllInputs,
       .edit = HalfSplitRope},
      {.name = "groups of three, window of one key",
       .shape = MakeShape(1, 6, 2, 37, 37, 40, 32),
       .window = 1,
       .edit = InterleavedRope},
      {.name = "groups of eight, window as long as the text",
       .shape = MakeShape(1, 8, 1, 41, 41, 40, 40),
       .window = 41,
       .options = {.sink_logit = true}},
      {.name = "text shorter than the window, ragged chunks",
       .shape = MakeShape(3, 2, 1, 19, 19, 16, 8),
       .window = 64,
       .options = {.initial_state = true},
       .edit =
           [](Problem& p) {
             InterleavedRope(p);
             p.tiling = {.chunk = 7, .state_every = 2};
           }},
      {.name = "one token",
       .shape = MakeShape(2, 2, 1, 1, 1, 8, 16),
       .options = {.initial_state = true}},
      {.name = "scales, mean of norms, start state per query head",
       .shape = MakeShape(1, 4, 2, 53, 53, 24, 16),
       .window = 11,
       .options = {.initial_state = true},
       .edit =
           [](Problem& p) {
             HalfSplitRope(p);
             p.state_per_query_head = true;
             p.local_scale = 0.4;
             p.memory_scale = 1.3;
             if (UsesNorms(p.spec) && p.spec.combine != Combine::kSplitHeads) {
               p.spec.combine = Combine::kMeanOfNorms;
             }
           }},
      {.name = "sinks as many as a tile",
       .shape = MakeShape(1, 2, 1, 101, 101, 16, 16),
       .window = 9,
       .edit =
           [](Problem& p) {
             HalfSplitRope(p);
             if (p.spec.local.kind == LocalKind::kWindowSinks) {
               p.spec.local.sinks = 70;
             }
           }},
  };
}

// Longer than the backward's key blocks, wider heads, unequal lengths.
std::vector<Case> LargeCases() {
  return {
      {.name = "several key blocks",
       .shape = MakeShape(1, 4, 2, 557, 557, 16, 16),
       .window = 37,
       .options = {.sink_logit = true},
       .edit = HalfSplitRope},
      {.name = "several key blocks, window beyond one",
       .shape = MakeShape(1, 2, 1, 601, 601, 24, 8),
       .window = 301,
       .edit = InterleavedRope},
      {.name = "head dim 128",
       .shape = MakeShape(1, 4, 1, 149, 149, 128, 128),
       .window = 40,
       .edit = InterleavedRope},
      {.name = "head dim 256, value dim 64",
       .shape = MakeShape(1, 2, 1, 131, 131, 256, 64),
       .window = 130},
      {.name = "queries at the end of the keys",
       .shape = MakeShape(2, 2, 1, 45, 311, 16, 16),
       .window = 20,
       .options = {.sink_logit = true, .initial_state = true},
       .edit = HalfSplitRope},
      {.name = "one query, many keys",
       .shape = MakeShape(1, 4, 2, 1, 97, 16, 16),
       .window = 31,
       .edit = HalfSplitRope},
      {.name = "more queries than keys",
       .shape = MakeShape(1, 2, 1, 29, 11, 8, 8),
       .options = {.initial_state = true},
       .edit = HalfSplitRope},
      {.name = "wide group", .shape = MakeShape(1, 80, 1, 13, 13, 8, 8)},
  };
}

struct NamedSpec {
  std::string name;
  MixerSpec spec;
};

// The catalog, and combinations that it does not name.
std::vector<NamedSpec> Specs(int64_t window) {
  std::vector<NamedSpec> specs;
  for (const Variant& variant : Catalog()) {
    specs.push_back({std::string(variant.name), TestSpec(variant, window)});
  }
  MixerSpec both;
  both.local = {.kind = LocalKind::kWindowSinks,
                .window_keys = window,
                .sinks = 3,
                .sink_positions = SinkPositions::kSlot};
  both.memory = {.kind = MemoryKind::kLinear,
                 .normalizer = Normalizer::kSum,
                 .reads = MemoryReads::kOutsideWindow};
  both.memory_window_keys = window;
  both.combine = Combine::kSumOfNorms;
  specs.push_back({"sinks and normalized rla", both});
  both.local = {.kind = LocalKind::kCausal};
  both.memory.reads = MemoryReads::kEverything;
  both.combine = Combine::kSum;
  specs.push_back({"causal and normalized linear", both});
  return specs;
}

void ForEachProblem(
    const std::vector<Case>& cases,
    const std::function<void(const Problem&, const TestOptions&)>& run) {
  for (const Case& c : cases) {
    for (const NamedSpec& named : Specs(c.window)) {
      for (Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
        Problem problem;
        problem.spec = named.spec;
        problem.phase = Phase::kTrain;
        problem.shape = c.shape;
        problem.dtype = dtype;
        c.edit(problem);
        TestOptions options = c.options;
        // An initial state has no key sum to go with it.
        if (problem.spec.memory.normalizer == Normalizer::kSum) {
          options.initial_state = false;
        }
        SCOPED_TRACE(named.name + ", " + c.name + ", " +
                     std::string(Name(dtype)));
        ASSERT_EQ(CpuBackend()->Supports(problem).reason, "");
        run(problem, options);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

std::vector<double> Values(const TensorView& view) {
  std::vector<double> values;
  for (int64_t i = 0; view && i < view.NumElements(); ++i) {
    int64_t rest = i;
    int64_t at[4];
    for (int axis = 3; axis >= 0; --axis) {
      at[axis] = rest % view.shape[axis];
      rest /= view.shape[axis];
    }
    values.push_back(view.Get(at[0], at[1], at[2], at[3]));
  }
  return values;
}

// The same problem in fp64 on the same (already rounded) inputs.
struct Exact {
  Exact(const Problem& narrow, const TestOptions& options,
        const TestTensors& inputs)
      : problem(narrow), tensors(Widen(&problem), options, 1) {
    for (TensorView Buffers::*input :
         {&Buffers::q, &Buffers::k, &Buffers::v, &Buffers::q_memory,
          &Buffers::k_memory, &Buffers::norm_local, &Buffers::norm_memory,
          &Buffers::sink_logit, &Buffers::initial_state, &Buffers::d_o,
          &Buffers::d_final_state}) {
      const std::vector<double> values = Values(inputs.buffers.*input);
      for (size_t i = 0; i < values.size(); ++i) {
        TestTensors::SetFlat(tensors.buffers.*input, static_cast<int64_t>(i),
                             values[i]);
      }
    }
  }
  static const Problem& Widen(Problem* p) {
    p->dtype = Dtype::kF64;
    return *p;
  }
  Problem problem;
  TestTensors tensors;
};

// Error that rounding the exact values to `dtype` makes: what no kernel can
// stay below, so far below the error of a computation in plain bf16.
double RoundingError(const std::vector<double>& exact, Dtype dtype) {
  std::vector<double> rounded;
  for (double x : exact) {
    const auto f = static_cast<float>(x);
    rounded.push_back(dtype == Dtype::kBF16 ? ToFloat(ToBf16(f)) : f);
  }
  return RelativeRms(rounded, exact);
}

constexpr double kFp32Limit = 1e-6;

double Norm(const std::vector<double>& values) {
  double sum = 0;
  for (double x : values) sum += x * x;
  return std::sqrt(sum);
}

void ExpectClose(const TensorView& got, const TensorView& exact,
                 const char* name) {
  const std::vector<double> expected = Values(exact);
  const std::vector<double> values = Values(got);
  const double size = std::sqrt(static_cast<double>(expected.size()));
  if (Norm(expected) < kFp32Limit * size) {
    // Terms of order 1 that cancel by construction (one key, normalized).
    EXPECT_LE(Norm(values), 2 * kFp32Limit * size) << name;
    return;
  }
  const double rounding = RoundingError(expected, got.dtype);
  EXPECT_LE(RelativeRms(values, expected), 1.02 * rounding + kFp32Limit)
      << name << ", rounding alone " << rounding;
}

struct NamedTensor {
  const char* name;
  TensorView Buffers::*tensor;
};
constexpr NamedTensor kForwardOutputs[] = {
    {"o", &Buffers::o},
    {"final_state", &Buffers::final_state},
};
constexpr NamedTensor kGradients[] = {
    {"dq", &Buffers::dq},
    {"dk", &Buffers::dk},
    {"dv", &Buffers::dv},
    {"dq_memory", &Buffers::dq_memory},
    {"dk_memory", &Buffers::dk_memory},
    {"d_norm_local", &Buffers::d_norm_local},
    {"d_norm_memory", &Buffers::d_norm_memory},
    {"d_initial_state", &Buffers::d_initial_state},
};

void CheckTraining(const Problem& problem, const TestOptions& options) {
  TestTensors tensors(problem, options, 11);
  const Exact exact(problem, options, tensors);
  ASSERT_EQ(CheckBuffers(problem, tensors.buffers, true).reason, "");
  RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
  RunForward(*CpuBackend(), problem, tensors.buffers);
  const Buffers& want = exact.tensors.buffers;
  for (const auto& [name, tensor] : kForwardOutputs) {
    ExpectClose(tensors.buffers.*tensor, want.*tensor, name);
  }
  // Row values as absolute errors: they may be near zero.
  for (const auto& [name, tensor] :
       {NamedTensor{"lse", &Buffers::lse},
        NamedTensor{"max_logits", &Buffers::max_logits}}) {
    const std::vector<double> got = Values(tensors.buffers.*tensor);
    const std::vector<double> expected = Values(want.*tensor);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (got[i] == expected[i]) continue;
      ASSERT_NEAR(got[i], expected[i], 4e-6) << name << " " << i;
    }
  }
  RunBackward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
  RunBackward(*CpuBackend(), problem, tensors.buffers);
  for (const auto& [name, tensor] : kGradients) {
    ExpectClose(tensors.buffers.*tensor, want.*tensor, name);
  }
  // A sum of terms of both signs, which cancel wholly behind a norm.
  const std::vector<double> expected = Values(want.d_sink_logit);
  for (size_t h = 0; h < expected.size(); ++h) {
    EXPECT_NEAR(Values(tensors.buffers.d_sink_logit)[h], expected[h],
                kFp32Limit * Norm(Values(tensors.buffers.d_o)))
        << "d_sink_logit";
  }
}

TEST(CpuBackend, TrainingMatchesTheReference) {
  ForEachProblem(SmallCases(), CheckTraining);
  if (HasFailure()) return;
  ForEachProblem(LargeCases(), CheckTraining);
}

TEST(CpuBackend, EveryIsaMatchesTheReference) {
  for (std::string_view isa : AvailableIsas()) {
    SCOPED_TRACE(isa);
    ASSERT_TRUE(ForceIsa(isa));
    ASSERT_EQ(CpuIsa(), isa);
    ForEachProblem(SmallCases(), CheckTraining);
  }
  ForceIsa("");
}

// Through a cache, keys are rounded once more after their rotation, so bf16 is
// held to twice the error of the reference on such a cache, token by token.
void CheckExtend(const Problem& problem, const TestOptions& options) {
  const bool separate = options.separate_memory;
  TestTensors whole(problem, options, 12);
  const Exact exact(problem, options, whole);
  RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
  const std::vector<double> want = Values(exact.tensors.buffers.o);
  const std::vector<double> want_state =
      Values(exact.tensors.buffers.final_state);
  double limit = 2e-6, state_limit = 2e-6;
  if (problem.dtype == Dtype::kBF16) {
    const KvCache cache =
        RunExtend(*ReferenceBackend(), problem, whole.buffers, {1}, separate);
    limit += 2 * RelativeRms(Values(whole.buffers.o), want);
    state_limit += 2 * RelativeRms(Values(cache.state()), want_state);
  }
  const std::vector<std::vector<int64_t>> splits = {
      {1}, {2}, {3, 1, 2}, {17, 1, 40}, {1000}, {23, 1}};
  for (const std::vector<int64_t>& pieces : splits) {
    TestTensors parts(problem, options, 12);
    const KvCache cache =
        RunExtend(*CpuBackend(), problem, parts.buffers, pieces, separate);
    EXPECT_LE(RelativeRms(Values(parts.buffers.o), want), limit)
        << "o, pieces of " << pieces[0];
    EXPECT_LE(RelativeRms(Values(cache.state()), want_state), state_limit)
        << "state, pieces of " << pieces[0];
  }
}

TEST(CpuBackend, PiecesThroughACacheMatchOneForward) {
  ForEachProblem(SmallCases(), CheckExtend);
}

TEST(CpuBackend, EveryIsaExtends) {
  const std::vector<Case> cases = SmallCases();
  for (std::string_view isa : AvailableIsas()) {
    SCOPED_TRACE(isa);
    ASSERT_TRUE(ForceIsa(isa));
    ForEachProblem({cases[1], cases[4]}, CheckExtend);
  }
  ForceIsa("");
}

// Contexts beyond one part of the split over keys.
TEST(CpuBackend, DecodesLongContexts) {
  const Case c = {.name = "long",
                  .shape = MakeShape(1, 3, 1, 2500, 2500, 8, 8),
                  .window = 2300,
                  .edit = HalfSplitRope};
  for (const NamedSpec& named : Specs(c.window)) {
    if (!HasLocal(named.spec) || UsesNorms(named.spec)) continue;
    Problem problem;
    problem.spec = named.spec;
    problem.phase = Phase::kForward;
    problem.shape = c.shape;
    c.edit(problem);
    SCOPED_TRACE(named.name);
    TestTensors whole(problem, {.sink_logit = true}, 13);
    TestTensors parts(problem, {.sink_logit = true}, 13);
    RunForward(*CpuBackend(), problem, whole.buffers);
    RunExtend(*CpuBackend(), problem, parts.buffers, {2490, 1, 1, 1}, false);
    for (const auto& [name, tensor] :
         {NamedTensor{"o", &Buffers::o}, NamedTensor{"lse", &Buffers::lse}}) {
      EXPECT_LE(RelativeRms(Values(Tokens(parts.buffers.*tensor, 2490, 10)),
                            Values(Tokens(whole.buffers.*tensor, 2490, 10))),
                2e-6)
          << name;
    }
  }
}

// Owns copies of tensors in other layouts.
class Layouts {
 public:
  // Axes in the order `order`, outermost first, with gaps between elements of
  // the innermost one.
  TensorView Move(const TensorView& view, const std::array<int, 4>& order,
                  int64_t gap) {
    if (!view) return view;
    TensorView moved = view;
    int64_t stride = gap;
    for (int i = 3; i >= 0; --i) {
      moved.stride[order[i]] = stride;
      // One element more: no axis ends where the next begins.
      stride *= view.shape[order[i]];
      stride += gap;
    }
    storage_.emplace_back(static_cast<size_t>(stride), -7.5);
    moved.data = storage_.back().data();
    const std::vector<double> values = Values(view);
    int64_t at = 0;
    for (int64_t a = 0; a < view.shape[0]; ++a) {
      for (int64_t b = 0; b < view.shape[1]; ++b) {
        for (int64_t c = 0; c < view.shape[2]; ++c) {
          for (int64_t d = 0; d < view.shape[3]; ++d) {
            moved.Set(a, b, c, d, values[static_cast<size_t>(at++)]);
          }
        }
      }
    }
    return moved;
  }

 private:
  std::deque<std::vector<double>> storage_;
};

TEST(CpuBackend, StridesDoNotMatter) {
  const std::vector<Case> cases = {SmallCases()[1], LargeCases()[0]};
  ForEachProblem(cases, [](const Problem& problem, const TestOptions& options) {
    TestTensors plain(problem, options, 14);
    TestTensors other(problem, options, 14);
    Layouts layouts;
    Buffers& b = other.buffers;
    // Heads before tokens, unit stride; and everything turned round.
    for (TensorView Buffers::*tensor :
         {&Buffers::q, &Buffers::v, &Buffers::k_memory, &Buffers::d_o,
          &Buffers::dq, &Buffers::dv, &Buffers::initial_state,
          &Buffers::final_state}) {
      b.*tensor = layouts.Move(b.*tensor, {0, 2, 1, 3}, 1);
    }
    for (TensorView Buffers::*tensor :
         {&Buffers::k, &Buffers::q_memory, &Buffers::o, &Buffers::dk,
          &Buffers::dq_memory, &Buffers::norm_local, &Buffers::sink_logit,
          &Buffers::d_sink_logit}) {
      b.*tensor = layouts.Move(b.*tensor, {3, 1, 0, 2}, 3);
    }
    for (const TestTensors* tensors : {&plain, &other}) {
      RunForward(*CpuBackend(), problem, tensors->buffers);
      RunBackward(*CpuBackend(), problem, tensors->buffers);
    }
    const auto expect = [&](const NamedTensor& t) {
      EXPECT_EQ(Values(other.buffers.*t.tensor),
                Values(plain.buffers.*t.tensor))
          << t.name;
    };
    for (const NamedTensor& t : kForwardOutputs) expect(t);
    for (const NamedTensor& t : kGradients) expect(t);
    expect({"d_sink_logit", &Buffers::d_sink_logit});
  });
}

// Enough work for several threads in every pass.
TEST(CpuBackend, ThreadsDoNotChangeABit) {
  const std::vector<Case> cases = {
      {.name = "window",
       .shape = MakeShape(2, 4, 2, 557, 557, 16, 16),
       .window = 67,
       .options = kAllInputs,
       .edit = HalfSplitRope},
      {.name = "one KV head",
       .shape = MakeShape(1, 2, 1, 1201, 1201, 32, 32),
       .window = 130,
       .options = {}},
  };
  ForEachProblem(cases, [](const Problem& problem, const TestOptions& options) {
    std::vector<std::vector<double>> first;
    for (int threads : {1, 3}) {
      Problem p = problem;
      p.threads = threads;
      TestTensors tensors(p, options, 15);
      RunForward(*CpuBackend(), p, tensors.buffers);
      RunBackward(*CpuBackend(), p, tensors.buffers);
      TestTensors parts(p, options, 15);
      RunExtend(*CpuBackend(), p, parts.buffers, {299},
                options.separate_memory);
      std::vector<std::vector<double>> all = {
          Values(parts.buffers.o), Values(tensors.buffers.d_sink_logit)};
      for (const NamedTensor& t : kForwardOutputs) {
        all.push_back(Values(tensors.buffers.*t.tensor));
      }
      for (const NamedTensor& t : kGradients) {
        all.push_back(Values(tensors.buffers.*t.tensor));
      }
      if (threads == 1) first = all;
      EXPECT_TRUE(all == first) << threads << " threads";
    }
  });
}

// One token per sequence, many sequences.
TEST(CpuBackend, ThreadsDoNotChangeABitOfDecode) {
  for (const NamedSpec& named : Specs(30)) {
    SCOPED_TRACE(named.name);
    std::vector<double> first;
    for (int threads : {1, 3}) {
      Problem p;
      p.spec = named.spec;
      p.shape = MakeShape(128, 4, 2, 40, 40, 32, 32);
      p.dtype = Dtype::kBF16;
      p.threads = threads;
      TestTensors tensors(p, {}, 17);
      RunExtend(*CpuBackend(), p, tensors.buffers, {37, 1, 1, 1}, false);
      const std::vector<double> got = Values(tensors.buffers.o);
      if (threads == 1) first = got;
      EXPECT_TRUE(got == first) << threads << " threads";
    }
  }
}

TEST(CpuBackend, OptionalOutputsMayBeAbsent) {
  ForEachProblem({SmallCases()[1]}, [](const Problem& problem,
                                       const TestOptions& options) {
    Problem p = problem;
    TestTensors all(p, options, 16);
    TestTensors few(p, options, 16);
    RunForward(*CpuBackend(), p, all.buffers);
    RunBackward(*CpuBackend(), p, all.buffers);
    RunForward(*CpuBackend(), p, few.buffers);
    few.buffers.dk = few.buffers.dq_memory = few.buffers.d_norm_local =
        few.buffers.d_sink_logit = few.buffers.d_initial_state = {};
    RunBackward(*CpuBackend(), p, few.buffers);
    EXPECT_EQ(Values(few.buffers.dq), Values(all.buffers.dq));
    EXPECT_EQ(Values(few.buffers.dv), Values(all.buffers.dv));
    p.phase = Phase::kForward;
    Buffers& b = few.buffers;
    b.lse = b.max_logits = b.o_local = b.o_memory = b.final_state = {};
    RunForward(*CpuBackend(), p, b);
    EXPECT_EQ(Values(b.o), Values(all.buffers.o));
  });
}

TEST(CpuBackend, SaysWhatItCannotDo) {
  Problem problem;
  problem.spec.local = {.kind = LocalKind::kCausal};
  EXPECT_TRUE(CpuBackend()->Supports(problem).ok());
  problem.dtype = Dtype::kF64;
  EXPECT_NE(CpuBackend()->Supports(problem).reason.find("reference"),
            std::string::npos);
  problem.dtype = Dtype::kF32;
  problem.shape.head_dim = 7;
  EXPECT_FALSE(CpuBackend()->Supports(problem).ok());
}

}  // namespace
}  // namespace rattn
