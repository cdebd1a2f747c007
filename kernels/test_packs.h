// Tests only: packs of sequences (Problem::cu_seqlens).
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <utility>

#include "kernels/sequences.h"
#include "kernels/test_layouts.h"
#include "kernels/test_tensors.h"

namespace rattn {

// Those of flash-linear-attention's tests, and others with empty sequences and
// such of one token.
inline constexpr int64_t kOneSequence[] = {0, 15};
inline constexpr int64_t kThreeSequences[] = {0, 256, 500, 1000};
inline constexpr int64_t kFiveSequences[] = {0, 15, 100, 300, 1200, 2000};
inline constexpr int64_t kEmptySequences[] = {0,  0,  1,  1,  1, 2,
                                              19, 19, 60, 97, 97};

inline void SetPack(std::span<const int64_t> cu_seqlens, Problem* problem) {
  problem->cu_seqlens = cu_seqlens;
  problem->shape.batch = 1;
  problem->shape.query_len = problem->shape.key_len = cu_seqlens.back();
}

// Forward and Backward of a pack against a call per sequence, bit for bit. What
// sums over sequences is left to the comparison with the reference.
inline void ExpectPackEqualsCalls(const Backend& backend,
                                  const Problem& problem,
                                  const TestOptions& options) {
  TestTensors pack(problem, options, 21), calls(problem, options, 21);
  ASSERT_EQ(CheckProblem(problem).reason, "");
  ASSERT_EQ(CheckBuffers(problem, pack.buffers, true).reason, "");
  RunForward(backend, problem, pack.buffers);
  RunBackward(backend, problem, pack.buffers);
  for (int64_t i = 0; i < SequenceCount(problem); ++i) {
    const SequenceCall call = SequenceAt(problem, calls.buffers, i);
    if (call.problem.shape.key_len == 0) {
      ForwardEmptySequence(call);
      BackwardEmptySequence(call);
      continue;
    }
    RunForward(backend, call.problem, call.buffers);
    RunBackward(backend, call.problem, call.buffers);
  }
  const std::pair<const char*, TensorView Buffers::*> compared[] = {
      {"o", &Buffers::o},
      {"final_state", &Buffers::final_state},
      {"max_logits", &Buffers::max_logits},
      {"lse", &Buffers::lse},
      {"o_local", &Buffers::o_local},
      {"o_memory", &Buffers::o_memory},
      {"dq", &Buffers::dq},
      {"dk", &Buffers::dk},
      {"dv", &Buffers::dv},
      {"dq_memory", &Buffers::dq_memory},
      {"dk_memory", &Buffers::dk_memory},
      {"d_initial_state", &Buffers::d_initial_state}};
  for (const auto& [name, tensor] : compared) {
    EXPECT_TRUE(Values(pack.buffers.*tensor) == Values(calls.buffers.*tensor))
        << name;
  }
}

}  // namespace rattn
