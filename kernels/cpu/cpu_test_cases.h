// Tests only: problems that reach every edge of the cpu backend, and the
// comparison with the fp64 reference.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/test_layouts.h"
#include "kernels/test_packs.h"
#include "kernels/test_tensors.h"
#include "kernels/window.h"

namespace rattn::cpu_test {

struct Case {
  const char* name;
  Shape shape;
  int64_t window = 5;
  TestOptions options = {};
  std::function<void(Problem&)> edit = [](Problem&) {};
};

inline void HalfSplitRope(Problem& p) {
  p.positions = {.rope = true, .theta = 1e4, .layout = RopeLayout::kHalfSplit};
}
inline void InterleavedRope(Problem& p) {
  p.positions = {
      .rope = true, .theta = 5e5, .layout = RopeLayout::kInterleaved};
}

inline constexpr TestOptions kAllInputs = {
    .sink_logit = true, .initial_state = true, .separate_memory = true};

// Small ones that reach every kind of edge: these also run on lower
// instruction sets and through caches.
inline std::vector<Case> SmallCases() {
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

// Scores of several times their cap, which other backends do not have.
inline std::vector<Case> CappedCases() {
  return {
      {.name = "capped scores, groups of two, all inputs, rope",
       .shape = MakeShape(2, 4, 2, 71, 71, 16, 24),
       .window = 16,
       .options = kAllInputs,
       .edit =
           [](Problem& p) {
             HalfSplitRope(p);
             p.local_scale = 1.5;
             p.local_softcap = 2;
           }},
      {.name = "capped scores of both signs, head dim 128",
       .shape = MakeShape(1, 2, 1, 149, 149, 128, 128),
       .window = 100,
       .edit =
           [](Problem& p) {
             p.local_scale = -0.2;
             p.local_softcap = 0.7;
           }},
  };
}

// Longer than the backward's key blocks, wider heads, unequal lengths.
inline std::vector<Case> LargeCases() {
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

// Packs of sequences shorter and longer than the window, tiles and segments.
inline Case PackCase(const char* name, std::span<const int64_t> cu_seqlens,
                     const Shape& shape, int64_t window,
                     const TestOptions& options,
                     const std::function<void(Problem&)>& edit) {
  return {.name = name,
          .shape = shape,
          .window = window,
          .options = options,
          .edit = [cu_seqlens, edit](Problem& p) {
            edit(p);
            SetPack(cu_seqlens, &p);
          }};
}
inline std::vector<Case> SmallPacks() {
  return {
      PackCase("one sequence", kOneSequence, MakeShape(1, 2, 2, 0, 0, 8, 8), 5,
               {}, [](Problem&) {}),
      PackCase("empty sequences, all inputs, rope", kEmptySequences,
               MakeShape(1, 4, 2, 0, 0, 16, 24), 16, kAllInputs,
               [](Problem& p) {
                 HalfSplitRope(p);
                 p.tiling = {.chunk = 5, .state_every = 2};
               }),
      PackCase("groups of three, start state per query head", kEmptySequences,
               MakeShape(1, 6, 2, 0, 0, 24, 16), 33, {.initial_state = true},
               [](Problem& p) {
                 InterleavedRope(p);
                 p.state_per_query_head = true;
               }),
  };
}
inline std::vector<Case> LargePacks() {
  return {
      PackCase("three sequences", kThreeSequences,
               MakeShape(1, 4, 2, 0, 0, 16, 16), 37,
               {.sink_logit = true, .initial_state = true}, HalfSplitRope),
      PackCase("five sequences, a window longer than most", kFiveSequences,
               MakeShape(1, 2, 1, 0, 0, 24, 8), 301, {.initial_state = true},
               InterleavedRope),
      PackCase("three sequences, head dim 128", kThreeSequences,
               MakeShape(1, 2, 1, 0, 0, 128, 128), 65, {}, HalfSplitRope),
  };
}

struct NamedSpec {
  std::string name;
  MixerSpec spec;
};

// The catalog, and combinations that it does not name.
inline std::vector<NamedSpec> Specs(int64_t window) {
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

inline void ForEachProblem(
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
inline double RoundingError(const std::vector<double>& exact, Dtype dtype) {
  std::vector<double> rounded;
  for (double x : exact) {
    double element;  // room for any dtype
    const TensorView one = Contiguous(&element, dtype, {1, 1, 1, 1});
    one.Set(0, 0, 0, 0, x);
    rounded.push_back(one.Get(0, 0, 0, 0));
  }
  return RelativeRms(rounded, exact);
}

inline constexpr double kFp32Limit = 1e-6;

inline double Norm(const std::vector<double>& values) {
  double sum = 0;
  for (double x : values) sum += x * x;
  return std::sqrt(sum);
}

// Bf16 products on tiles round P, dS and rotated rows to bf16 as well, as a
// plain bf16 computation does: each costs about one rounding of the result.
inline bool RoundsInside(const Problem& problem) {
  return problem.dtype == Dtype::kBF16 && TilesOn();
}
inline constexpr double kRoundingsInside = 4;

// `roundings`: how many to the problem's dtype the kernel makes on the way.
inline void ExpectCloseTo(const Problem& problem, double roundings,
                          const TensorView& got, const TensorView& exact,
                          const char* name) {
  const bool inside = roundings > 0;
  const std::vector<double> expected = Values(exact);
  const std::vector<double> values = Values(got);
  const double size = std::sqrt(static_cast<double>(expected.size()));
  if (Norm(expected) < kFp32Limit * size) {
    // Terms of order 1 that cancel by construction (one key, normalized).
    EXPECT_LE(Norm(values), (inside ? 20 : 2) * kFp32Limit * size) << name;
    return;
  }
  const double rounding =
      RoundingError(expected, inside ? problem.dtype : got.dtype);
  const double factor = inside ? roundings : 1.02;
  EXPECT_LE(RelativeRms(values, expected), factor * rounding + kFp32Limit)
      << name << ", rounding alone " << rounding;
}
inline void ExpectClose(const Problem& problem, const TensorView& got,
                        const TensorView& exact, const char* name) {
  ExpectCloseTo(problem, RoundsInside(problem) ? kRoundingsInside : 0, got,
                exact, name);
}

struct NamedTensor {
  const char* name;
  TensorView Buffers::*tensor;
};
inline constexpr NamedTensor kForwardOutputs[] = {
    {"o", &Buffers::o},
    {"final_state", &Buffers::final_state},
};
inline constexpr NamedTensor kGradients[] = {
    {"dq", &Buffers::dq},
    {"dk", &Buffers::dk},
    {"dv", &Buffers::dv},
    {"dq_memory", &Buffers::dq_memory},
    {"dk_memory", &Buffers::dk_memory},
    {"d_norm_local", &Buffers::d_norm_local},
    {"d_norm_memory", &Buffers::d_norm_memory},
    {"d_initial_state", &Buffers::d_initial_state},
};

}  // namespace rattn::cpu_test
