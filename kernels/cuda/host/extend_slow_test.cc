// As extend_numeric_test.cc, every problem.
#include <gtest/gtest.h>

#include "kernels/cuda/host/extend_test_cases.h"

namespace rattn::cuda {
namespace {

void CheckAllPieces(const Problem& problem, const TestOptions& options) {
  CheckPieces(problem, options, {{1}, {2}, {3, 1, 2}, {17, 1, 40}, {1000}});
}

TEST(CudaCacheSlow, SmallProblemsMatchOneForward) {
  ForEachCudaProblem(cpu_test::SmallCases(), 1, CheckAllPieces);
}

TEST(CudaCacheSlow, TilesMatchOneForward) {
  ForEachCudaProblem(TileCases(), 1,
                     [](const Problem& problem, const TestOptions& options) {
                       CheckPieces(problem, options, {{60, 1, 1}, {129, 1}});
                     });
}

TEST(CudaCacheSlow, DeferredAbsorptionMatchesOneForward) {
  const auto check = [](const Problem& problem, const TestOptions& options) {
    if (!HasMemory(problem.spec)) return;
    for (int64_t every : {2, 16}) {
      Problem p = problem;
      p.tiling.absorb_every = every;
      CheckPieces(p, options, {{1}, {1, 1, 1, 5}});
    }
  };
  const std::vector<Case> cases = cpu_test::SmallCases();
  ForEachCudaProblem({cases[1], cases[2], cases[4], cases[6]}, 1, check);
}

}  // namespace
}  // namespace rattn::cuda
