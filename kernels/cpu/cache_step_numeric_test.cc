// The cpu backend on a cache against one forward of the fp64 reference: pieces
// of any length, decode, long contexts.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "kernels/cpu/cpu_test_cases.h"
#include "kernels/cpu/isa.h"

namespace rattn::cpu_test {
namespace {

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
    // As ExpectClose: tiles round what they multiply.
    const double inside = RoundsInside(problem) ? kRoundingsInside : 0;
    limit = std::max(limit, inside * RoundingError(want, problem.dtype));
    state_limit = std::max(state_limit,
                           inside * RoundingError(want_state, problem.dtype));
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

TEST(CpuCache, PiecesThroughACacheMatchOneForward) {
  ForEachProblem(SmallCases(), CheckExtend);
  if (HasFailure()) return;
  ForEachProblem(CappedCases(), CheckExtend);
}

TEST(CpuCache, EveryIsaExtends) {
  const std::vector<Case> cases = SmallCases();
  for (std::string_view isa : AvailableIsas()) {
    SCOPED_TRACE(isa);
    ASSERT_TRUE(ForceIsa(isa));
    ForEachProblem({cases[1], cases[4], CappedCases()[0]}, CheckExtend);
  }
  ForceIsa("");
}

// States that take in every token at its step, or several later on.
TEST(CpuCache, DeferredAbsorptionMatchesOneForward) {
  const auto check = [](const Problem& problem, const TestOptions& options) {
    if (!HasMemory(problem.spec)) return;
    for (int64_t every : {1, 3, 16}) {
      SCOPED_TRACE(every);
      Problem p = problem;
      p.tiling.absorb_every = every;
      CheckExtend(p, options);
    }
  };
  const std::vector<Case> cases = SmallCases();
  ForEachProblem({cases[1], cases[2], cases[4], cases[6]}, check);
}

// Contexts beyond one part of the split over keys.
TEST(CpuCache, DecodesLongContexts) {
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

// Pieces longer than a block of keys, on windows of several blocks.
TEST(CpuCache, Bf16PiecesMeetManyBlocks) {
  for (const NamedSpec& named : Specs(600)) {
    if (!HasLocal(named.spec)) continue;
    SCOPED_TRACE(named.name);
    Problem problem;
    problem.spec = named.spec;
    problem.shape = MakeShape(1, 4, 2, 900, 900, 32, 32);
    problem.dtype = Dtype::kBF16;
    problem.threads = 2;
    TestTensors whole(problem, {}, 14);
    const Exact exact(problem, {}, whole);
    RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
    const std::vector<double> want = Values(exact.tensors.buffers.o);
    const double rounding = RoundingError(want, problem.dtype);
    for (const std::vector<int64_t>& pieces :
         {std::vector<int64_t>{900}, {300, 17, 583}, {64}}) {
      TestTensors parts(problem, {}, 14);
      RunExtend(*CpuBackend(), problem, parts.buffers, pieces, false);
      EXPECT_LE(RelativeRms(Values(parts.buffers.o), want),
                kRoundingsInside * rounding)
          << "pieces of " << pieces[0];
    }
  }
}

// One token per sequence, many sequences.
TEST(CpuCache, ThreadsDoNotChangeABitOfDecode) {
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

}  // namespace
}  // namespace rattn::cpu_test
