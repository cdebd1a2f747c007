// The cpu backend against the fp64 reference: every variant of the catalog,
// both dtypes, on every instruction set that this machine has.
#include <gtest/gtest.h>

#include <cmath>
#include <string_view>
#include <vector>

#include "kernels/cpu/bf16_fused.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_test_cases.h"
#include "kernels/cpu/isa.h"

namespace rattn::cpu_test {
namespace {

void CheckTraining(const Problem& problem, const TestOptions& options,
                   const Backend& backend) {
  TestTensors tensors(problem, options, 11);
  const Exact exact(problem, options, tensors);
  ASSERT_EQ(CheckBuffers(problem, tensors.buffers, true).reason, "");
  RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
  RunForward(backend, problem, tensors.buffers);
  const Buffers& want = exact.tensors.buffers;
  for (const auto& [name, tensor] : kForwardOutputs) {
    ExpectClose(problem, tensors.buffers.*tensor, want.*tensor, name);
  }
  // Row values as absolute errors: they may be near zero.
  for (const auto& [name, tensor] :
       {NamedTensor{"lse", &Buffers::lse},
        NamedTensor{"max_logits", &Buffers::max_logits}}) {
    const std::vector<double> got = Values(tensors.buffers.*tensor);
    const std::vector<double> expected = Values(want.*tensor);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (got[i] == expected[i]) continue;
      const double limit =
          RoundsInside(problem) ? 1e-2 * (1 + std::abs(expected[i])) : 4e-6;
      ASSERT_NEAR(got[i], expected[i], limit) << name << " " << i;
    }
  }
  RunBackward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
  RunBackward(backend, problem, tensors.buffers);
  for (const auto& [name, tensor] : kGradients) {
    ExpectClose(problem, tensors.buffers.*tensor, want.*tensor, name);
  }
  // A sum of terms of both signs, which cancel wholly behind a norm.
  const std::vector<double> expected = Values(want.d_sink_logit);
  for (size_t h = 0; h < expected.size(); ++h) {
    EXPECT_NEAR(Values(tensors.buffers.d_sink_logit)[h], expected[h],
                (RoundsInside(problem) ? 1e-4 : kFp32Limit) *
                    Norm(Values(tensors.buffers.d_o)))
        << "d_sink_logit";
  }
}

void CheckCpu(const Problem& problem, const TestOptions& options) {
  CheckTraining(problem, options, *CpuBackend());
}

TEST(CpuBackend, TrainingMatchesTheReference) {
  ForEachProblem(SmallCases(), CheckCpu);
  if (HasFailure()) return;
  ForEachProblem(LargeCases(), CheckCpu);
  if (HasFailure()) return;
  ForEachProblem(CappedCases(), CheckCpu);
}

TEST(CpuBackend, EveryIsaMatchesTheReference) {
  for (std::string_view isa : AvailableIsas()) {
    SCOPED_TRACE(isa);
    ASSERT_TRUE(ForceIsa(isa));
    ASSERT_EQ(CpuIsa(), isa);
    ForEachProblem(SmallCases(), CheckCpu);
    if (HasFailure()) break;
    ForEachProblem(CappedCases(), CheckCpu);
  }
  ForceIsa("");
}

TEST(CpuBackend, UnfusedBranchesMatchTheReference) {
  if (!TilesOn()) GTEST_SKIP() << "only passes on tiles fuse branches";
  int problems = 0;
  ForEachProblem(SmallCases(),
                 [&](const Problem& problem, const TestOptions& options) {
                   if (!UsesBf16Fused(problem)) return;
                   CheckTraining(problem, options, *UnfusedCpuBackend());
                   ++problems;
                 });
  EXPECT_GT(problems, 10);
}

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

// Logits that grow along the sequence move the maximum of a row in every piece
// of its keys, by more than any slack that a pass may allow itself.
TEST(CpuBackend, MaximaThatKeepMoving) {
  for (Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
    for (int64_t window : {400, 1000}) {
      Problem p;
      p.spec = TestSpec(*FindVariant("swa"), window);
      p.phase = Phase::kTrain;
      p.shape = MakeShape(1, 2, 1, 700, 700, 16, 16);
      p.dtype = dtype;
      TestTensors tensors(p, {}, 21);
      for (int64_t t = 0; t < 700; ++t) {
        for (int64_t i = 0; i < 16; ++i) {
          const double k = tensors.buffers.k.Get(0, t, 0, i);
          tensors.buffers.k.Set(0, t, 0, i, k * (0.5 + 0.02 * t));
        }
      }
      const Exact exact(p, {}, tensors);
      RunForward(*ReferenceBackend(), exact.problem, exact.tensors.buffers);
      RunForward(*CpuBackend(), p, tensors.buffers);
      ExpectClose(p, tensors.buffers.o, exact.tensors.buffers.o, "o");
    }
  }
}

std::vector<std::vector<double>> OutputsOfTraining(const Problem& problem,
                                                   const TestOptions& options) {
  TestTensors tensors(problem, options, 15);
  RunForward(*CpuBackend(), problem, tensors.buffers);
  RunBackward(*CpuBackend(), problem, tensors.buffers);
  std::vector<std::vector<double>> all = {Values(tensors.buffers.d_sink_logit)};
  for (const NamedTensor& t : kForwardOutputs) {
    all.push_back(Values(tensors.buffers.*t.tensor));
  }
  for (const NamedTensor& t : kGradients) {
    all.push_back(Values(tensors.buffers.*t.tensor));
  }
  return all;
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
      std::vector<std::vector<double>> all = OutputsOfTraining(p, options);
      TestTensors parts(p, options, 15);
      RunExtend(*CpuBackend(), p, parts.buffers, {299},
                options.separate_memory);
      all.push_back(Values(parts.buffers.o));
      if (threads == 1) first = all;
      EXPECT_TRUE(all == first) << threads << " threads";
    }
  });
}

TEST(CpuBackend, PacksMatchTheReference) {
  ForEachProblem(SmallPacks(), CheckCpu);
  if (HasFailure()) return;
  ForEachProblem({LargePacks()[0]}, CheckCpu);
}

TEST(CpuBackend, PacksEqualCallsOnTheirSequences) {
  const auto check = [](const Problem& problem, const TestOptions& options) {
    Problem p = problem;
    p.threads = 2;
    ExpectPackEqualsCalls(*CpuBackend(), p, options);
  };
  ForEachProblem({SmallPacks()[1], LargePacks()[0]}, check);
}

// Long sequences on all threads among short ones side by side, more than are
// added up at a time.
TEST(CpuBackend, ThreadsDoNotChangeABitOfPacks) {
  std::vector<int64_t> cu_seqlens = {0};
  for (int64_t i = 0; i < 70; ++i) {
    const int64_t tokens = i == 3 || i == 66 ? 401 : i % 9;
    cu_seqlens.push_back(cu_seqlens.back() + tokens);
  }
  const Case many =
      PackCase("many sequences", cu_seqlens, MakeShape(1, 4, 2, 0, 0, 16, 16),
               11, kAllInputs, HalfSplitRope);
  const auto check = [](const Problem& problem, const TestOptions& options) {
    std::vector<std::vector<double>> first;
    for (int threads : {1, 3}) {
      Problem p = problem;
      p.threads = threads;
      const std::vector<std::vector<double>> all =
          OutputsOfTraining(p, options);
      if (threads == 1) first = all;
      EXPECT_TRUE(all == first) << threads << " threads";
    }
  };
  ForEachProblem({many}, check);
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
}  // namespace rattn::cpu_test
