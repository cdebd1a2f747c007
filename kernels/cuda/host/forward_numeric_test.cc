// Forward passes of the CUDA kernels, executed on the CPU, against the fp64
// reference. All problems run in forward_slow_test.cc.
#include <gtest/gtest.h>

#include "kernels/cuda/host/cuda_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaForward, SmallProblemsMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallCases(), 3, CheckForward);
}

TEST(CudaForward, TilesMatchTheReference) {
  ForEachCudaProblem(TileCases(), 3, CheckForward);
}

TEST(CudaForward, PacksMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallPacks(), 5, CheckForward);
  ForEachCudaProblem(TilePacks(), 7, CheckForward);
}

// More offsets than a launch can bring to the device.
TEST(CudaForward, ManySequences) {
  std::vector<int64_t> cu_seqlens = {0};
  for (int64_t i = 0; i < 1000; ++i) {
    cu_seqlens.push_back(cu_seqlens.back() + (i % 40 == 7));
  }
  const Case many = cpu_test::PackCase(
      "many sequences", cu_seqlens, MakeShape(1, 2, 1, 0, 0, 8, 8), 5,
      {.initial_state = true}, cpu_test::HalfSplitRope);
  const auto check = [](const Problem& problem, const TestOptions& options) {
    const bool fused = HasLocal(problem.spec) && HasMemory(problem.spec);
    if (fused) CheckForward(problem, options);
  };
  ForEachCudaProblem({many}, 9, check);
}

// Heads before tokens, gaps between elements: rows that no copy can move as
// they lie are packed first.
void CheckStrides(const Problem& problem, const TestOptions& options) {
  TestTensors plain(problem, options, 14);
  TestTensors other(problem, options, 14);
  Layouts layouts;
  Buffers& b = other.buffers;
  for (TensorView Buffers::*tensor :
       {&Buffers::q, &Buffers::v, &Buffers::o_local, &Buffers::lse,
        &Buffers::final_state}) {
    b.*tensor = layouts.Move(b.*tensor, {0, 2, 1, 3}, 1);
  }
  for (TensorView Buffers::*tensor :
       {&Buffers::k, &Buffers::o, &Buffers::sink_logit, &Buffers::norm_local,
        &Buffers::initial_state, &Buffers::o_memory}) {
    b.*tensor = layouts.Move(b.*tensor, {3, 1, 0, 2}, 3);
  }
  Findings findings;
  for (const TestTensors* tensors : {&plain, &other}) {
    RunForward(HostBackend(&findings), problem, tensors->buffers);
  }
  EXPECT_EQ(findings.Text(), "");
  EXPECT_EQ(Values(b.o), Values(plain.buffers.o));
  EXPECT_EQ(Values(b.lse), Values(plain.buffers.lse));
  EXPECT_EQ(Values(b.final_state), Values(plain.buffers.final_state));
}
TEST(CudaForward, StridesDoNotMatter) {
  ForEachCudaProblem({TileCases()[1]}, 3, CheckStrides);
}

void CheckFewOutputs(const Problem& train, const TestOptions& options) {
  TestTensors all(train, options, 16);
  TestTensors few(train, options, 16);
  Problem problem = train;
  Findings findings;
  const HostBackend backend(&findings);
  RunForward(backend, problem, all.buffers);
  problem.phase = Phase::kForward;
  Buffers& b = few.buffers;
  b.lse = b.max_logits = b.o_local = b.o_memory = b.final_state = {};
  RunForward(backend, problem, b);
  EXPECT_EQ(findings.Text(), "");
  EXPECT_EQ(Values(b.o), Values(all.buffers.o));
}
TEST(CudaForward, OptionalOutputsMayBeAbsent) {
  ForEachCudaProblem({cpu_test::SmallCases()[1]}, 2, CheckFewOutputs);
}

}  // namespace
}  // namespace rattn::cuda
