// Tests only: calls of the CUDA kernels on a cache, executed on the CPU,
// against one forward of the fp64 reference.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/host/cuda_test_cases.h"

namespace rattn::cuda {

using Pieces = std::vector<int64_t>;

// Values lie unchanged in the slots where KvCache looks for them.
inline void ExpectSameValues(const Problem& problem, const KvCache& cache,
                             const KvCache& reference) {
  if (!cache.has_keys()) return;
  const Shape& s = problem.shape;
  const size_t bytes =
      static_cast<size_t>(s.value_dim) * ByteSize(problem.dtype);
  const int64_t kept =
      cache.ring_slots() > 0 ? cache.ring_slots() : cache.length();
  for (int64_t t = 0; t < cache.length(); ++t) {
    if (t >= cache.sinks() && t < cache.length() - kept) continue;
    for (int64_t row = 0; row < s.batch * s.kv_heads; ++row) {
      const int64_t b = row / s.kv_heads, h = row % s.kv_heads;
      ASSERT_EQ(
          std::memcmp(cache.Value(b, h, t), reference.Value(b, h, t), bytes), 0)
          << "token " << t;
    }
  }
}

// Through a cache, keys are rounded once more after their rotation, so results
// are held to twice the error of the reference on such a cache, token by token.
// `on`: null for the kernels executed on the CPU.
inline void CheckPiecesOn(const Backend* on, const Problem& problem,
                          const TestOptions& options,
                          const std::vector<Pieces>& splits) {
  if (problem.shape.query_len != problem.shape.key_len) return;
  const bool separate = options.separate_memory;
  TestTensors whole(problem, options, 12);
  const cpu_test::Exact exact(problem, options, whole);
  RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
  const std::vector<double> want = Values(exact.tensors.buffers.o);
  const std::vector<double> want_state =
      Values(exact.tensors.buffers.final_state);
  const KvCache reference =
      RunExtend(*ReferenceBackend(), problem, whole.buffers, {1}, separate);
  const auto limit = [&](const std::vector<double>& got,
                         const std::vector<double>& exact_values) {
    const double rounding =
        cpu_test::RoundingError(exact_values, problem.dtype);
    return 2e-6 + std::max(2 * RelativeRms(got, exact_values),
                           cpu_test::kRoundingsInside * rounding);
  };
  const double o_limit = limit(Values(whole.buffers.o), want);
  const double state_limit = limit(Values(reference.state()), want_state);
  for (const Pieces& pieces : splits) {
    SCOPED_TRACE("pieces of " + std::to_string(pieces[0]));
    TestTensors parts(problem, options, 12);
    Findings findings;
    const HostBackend host(&findings);
    const KvCache cache = RunExtend(on != nullptr ? *on : host, problem,
                                    parts.buffers, pieces, separate);
    ASSERT_EQ(findings.Text(), "");
    ExpectSameValues(problem, cache, reference);
    EXPECT_LE(RelativeRms(Values(parts.buffers.o), want), o_limit);
    EXPECT_LE(RelativeRms(Values(cache.state()), want_state), state_limit);
    EXPECT_LE(RelativeRms(Values(cache.key_sum()), Values(reference.key_sum())),
              1e-2);
    for (TensorView Buffers::*rows : {&Buffers::lse, &Buffers::max_logits}) {
      EXPECT_LE(RelativeRms(Values(parts.buffers.*rows),
                            Values(exact.tensors.buffers.*rows)),
                1e-2);
    }
  }
}

inline void CheckPieces(const Problem& problem, const TestOptions& options,
                        const std::vector<Pieces>& splits) {
  CheckPiecesOn(nullptr, problem, options, splits);
}

}  // namespace rattn::cuda
