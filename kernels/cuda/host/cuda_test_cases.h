// Tests only: problems that reach every edge of the CUDA kernels, and their
// execution on the CPU, or by another backend, against the fp64 reference.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_test_cases.h"
#include "kernels/cuda/host/host_backend.h"

namespace rattn::cuda {

using cpu_test::Case;

// Head dims that kernels are compiled for, read and copied as they lie; tiles
// of 64 keys and rows, 32 keys for head dim 256; many segments.
inline std::vector<Case> TileCases() {
  return {
      {.name = "whole tiles",
       .shape = MakeShape(1, 2, 1, 128, 128, 64, 64),
       .window = 64,
       .edit = [](Problem& p) { p.tiling = {.chunk = 16, .state_every = 1}; }},
      {.name = "head dim 128, window across tiles",
       .shape = MakeShape(1, 4, 2, 131, 131, 128, 128),
       .window = 65,
       .options = {.sink_logit = true, .initial_state = true}},
      {.name = "head dim 256, groups of four",
       .shape = MakeShape(1, 4, 1, 67, 67, 256, 256),
       .window = 33},
      {.name = "queries at the end of the keys, many heads, batch",
       .shape = MakeShape(2, 6, 2, 23, 193, 64, 64),
       .window = 63},
      {.name = "rope, odd group, ragged segments",
       .shape = MakeShape(1, 3, 1, 97, 97, 64, 64),
       .window = 31,
       .edit =
           [](Problem& p) {
             cpu_test::HalfSplitRope(p);
             p.tiling = {.chunk = 5, .state_every = 3};
           }},
  };
}

// Packs whose sequences end within tiles and segments, of the compiled head
// dims, windows longer and shorter than sequences.
inline std::vector<Case> TilePacks() {
  using cpu_test::PackCase;
  static constexpr int64_t kTiles[] = {0, 64, 64, 65, 192, 230};
  return {
      PackCase("whole tiles, segments of a chunk", kTiles,
               MakeShape(1, 2, 1, 0, 0, 64, 64), 65, {.initial_state = true},
               [](Problem& p) { p.tiling = {.chunk = 16, .state_every = 1}; }),
      PackCase("head dim 128, groups of two", kEmptySequences,
               MakeShape(1, 4, 2, 0, 0, 128, 128), 23, cpu_test::kAllInputs,
               [](Problem& p) {
                 cpu_test::HalfSplitRope(p);
                 p.tiling = {.chunk = 7, .state_every = 2};
               }),
      PackCase("head dim 256, groups of three", kEmptySequences,
               MakeShape(1, 3, 1, 0, 0, 256, 256), 100, {.sink_logit = true},
               cpu_test::InterleavedRope),
  };
}

// Runs the supported problems of `cases`, one of `thin` to keep a run short.
inline void ForEachCudaProblem(
    const std::vector<Case>& cases, int thin,
    const std::function<void(const Problem&, const TestOptions&)>& run) {
  Findings findings;
  const HostBackend backend(&findings);
  int supported = 0;
  for (const Case& c : cases) {
    for (const cpu_test::NamedSpec& named : cpu_test::Specs(c.window)) {
      for (Dtype dtype : {Dtype::kBF16, Dtype::kF16}) {
        Problem problem;
        problem.spec = named.spec;
        problem.phase = Phase::kTrain;
        problem.shape = c.shape;
        problem.dtype = dtype;
        c.edit(problem);
        TestOptions options = c.options;
        if (problem.spec.memory.normalizer == Normalizer::kSum) {
          options.initial_state = false;
        }
        if (!backend.Supports(problem).ok()) continue;
        if (supported++ % thin != 0) continue;
        SCOPED_TRACE(named.name + ", " + c.name + ", " +
                     std::string(Name(dtype)));
        run(problem, options);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
  EXPECT_GT(supported, 0);
}

// The kernels of compute capability 9.0, wherever there are any.
inline constexpr Gpu kHopper = {90, 132, /*always_newest=*/true};

// The tensors of a problem, of the kernels and of the reference in fp64.
struct CheckedRun {
  // `on`: null for the kernels executed on the CPU, those for `gpu`.
  CheckedRun(const Problem& p, const TestOptions& options,
             const Backend* on = nullptr, const Gpu& gpu = {})
      : problem(p),
        tensors(p, options, 11),
        exact(p, options, tensors),
        host(&findings, gpu),
        backend(on != nullptr ? *on : host) {
    EXPECT_EQ(CheckBuffers(problem, tensors.buffers, true).reason, "");
    RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
    RunForward(backend, problem, tensors.buffers);
    EXPECT_EQ(findings.Text(), "");
  }
  void Backward() {
    RunBackward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
    RunBackward(backend, problem, tensors.buffers);
    EXPECT_EQ(findings.Text(), "");
  }
  void ExpectClose(const cpu_test::NamedTensor& t, double roundings) {
    cpu_test::ExpectCloseTo(problem, roundings, tensors.buffers.*t.tensor,
                            exact.tensors.buffers.*t.tensor, t.name);
  }
  void ExpectRowsNear(const cpu_test::NamedTensor& t, double limit) {
    const auto values = Values(tensors.buffers.*t.tensor);
    const auto expected = Values(exact.tensors.buffers.*t.tensor);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (values[i] == expected[i]) continue;  // infinities of empty rows
      ASSERT_NEAR(values[i], expected[i], limit * (1 + std::abs(expected[i])))
          << t.name << " " << i;
    }
  }

  const Problem& problem;
  TestTensors tensors;
  cpu_test::Exact exact;
  Findings findings;
  HostBackend host;
  const Backend& backend;
};

inline void CheckForwardOutputs(CheckedRun* run) {
  for (const cpu_test::NamedTensor& t :
       {cpu_test::NamedTensor{"o", &Buffers::o},
        cpu_test::NamedTensor{"final_state", &Buffers::final_state},
        cpu_test::NamedTensor{"o_local", &Buffers::o_local},
        cpu_test::NamedTensor{"o_memory", &Buffers::o_memory}}) {
    run->ExpectClose(t, cpu_test::kRoundingsInside);
  }
  run->ExpectRowsNear({"lse", &Buffers::lse}, 1e-2);
  run->ExpectRowsNear({"max_logits", &Buffers::max_logits}, 1e-2);
}
inline void CheckForwardOn(const Backend* backend, const Problem& problem,
                           const TestOptions& options) {
  CheckedRun run(problem, options, backend);
  CheckForwardOutputs(&run);
}
inline void CheckForward(const Problem& problem, const TestOptions& options) {
  CheckForwardOn(nullptr, problem, options);
}

// The gradients of outputs, features and states are rounded as well. Behind a
// norm, dO is orthogonal to the output: where a row reads one token, its
// gradient is zero but for the rounding of dO, divided by an rms that may be
// small (worst seen: 7.6 on raw features).
inline double GradientRoundings(const Problem& problem) {
  return UsesNorms(problem.spec) ? 8 : 5;
}

inline void CheckBackwardOn(const Backend* backend, const Problem& problem,
                            const TestOptions& options) {
  CheckedRun run(problem, options, backend);
  run.Backward();
  for (const cpu_test::NamedTensor& t : cpu_test::kGradients) {
    run.ExpectClose(t, GradientRoundings(problem));
  }
  // A sum of terms of both signs, which cancel wholly behind a norm.
  const double size = cpu_test::Norm(Values(run.tensors.buffers.d_o));
  const auto got = Values(run.tensors.buffers.d_sink_logit);
  const auto expected = Values(run.exact.tensors.buffers.d_sink_logit);
  for (size_t h = 0; h < expected.size(); ++h) {
    EXPECT_NEAR(got[h], expected[h], 1e-3 * size) << "d_sink_logit " << h;
  }
}
// Both passes on a pack against calls on its sequences.
inline void CheckPack(const Problem& problem, const TestOptions& options) {
  Findings findings;
  ExpectPackEqualsCalls(HostBackend(&findings), problem, options);
  EXPECT_EQ(findings.Text(), "");
}

inline void CheckBackward(const Problem& problem, const TestOptions& options) {
  CheckBackwardOn(nullptr, problem, options);
}

}  // namespace rattn::cuda
