// Decode and extend of the CUDA kernels, executed on the CPU, against the fp64
// reference. All problems run in extend_slow_test.cc.
#include <gtest/gtest.h>

#include "kernels/cuda/host/extend_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaCache, TokensOneByOneMatchOneForward) {
  ForEachCudaProblem(cpu_test::SmallCases(), 7,
                     [](const Problem& problem, const TestOptions& options) {
                       CheckPieces(problem, options, {{1}});
                     });
}

TEST(CudaCache, PiecesMatchOneForward) {
  ForEachCudaProblem(
      cpu_test::SmallCases(), 7,
      [](const Problem& problem, const TestOptions& options) {
        CheckPieces(problem, options, {{3, 1, 2}, {17, 1, 40}, {1000}});
      });
}

TEST(CudaCache, TilesMatchOneForward) {
  ForEachCudaProblem(TileCases(), 5,
                     [](const Problem& problem, const TestOptions& options) {
                       CheckPieces(problem, options, {{60, 1, 1}});
                     });
}

// States that take in several tokens at a time.
TEST(CudaCache, DeferredAbsorptionMatchesOneForward) {
  const auto check = [](const Problem& problem, const TestOptions& options) {
    if (!HasMemory(problem.spec)) return;
    Problem p = problem;
    p.tiling.absorb_every = 3;
    CheckPieces(p, options, {{1}, {1, 1, 1, 1, 1, 9}});
  };
  const std::vector<Case> cases = cpu_test::SmallCases();
  ForEachCudaProblem({cases[1], cases[2], cases[6]}, 9, check);
}

// More query heads than a tile has rows, or a step takes at a time.
TEST(CudaCache, WideGroupsMatchOneForward) {
  ForEachCudaProblem({{.name = "wide group",
                       .shape = MakeShape(1, 20, 1, 9, 9, 8, 8),
                       .window = 3}},
                     3, [](const Problem& problem, const TestOptions& options) {
                       CheckPieces(problem, options, {{1}});
                     });
}

// Pages of a growing cache, and keys divided among blocks.
TEST(CudaCache, DecodesLongContexts) {
  const Case c = {.name = "long",
                  .shape = MakeShape(1, 3, 1, 700, 700, 8, 8),
                  .window = 600,
                  .options = {.sink_logit = true},
                  .edit = cpu_test::HalfSplitRope};
  ForEachCudaProblem({c}, 1,
                     [](const Problem& problem, const TestOptions& options) {
                       if (HasMemory(problem.spec)) return;
                       if (problem.dtype != Dtype::kBF16) return;
                       CheckPieces(problem, options, {{697, 1, 1, 1}});
                     });
}

}  // namespace
}  // namespace rattn::cuda
