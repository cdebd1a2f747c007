// As backward_numeric_test.cc, every problem.
#include <gtest/gtest.h>

#include "kernels/cuda/host/cuda_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaBackwardSlow, SmallProblemsMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallCases(), 1, CheckBackward);
}
TEST(CudaBackwardSlow, LargeProblemsMatchTheReference) {
  ForEachCudaProblem(cpu_test::LargeCases(), 1, CheckBackward);
}
TEST(CudaBackwardSlow, TilesMatchTheReference) {
  ForEachCudaProblem(TileCases(), 1, CheckBackward);
}

TEST(CudaBackwardSlow, PacksMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallPacks(), 1, CheckBackward);
  ForEachCudaProblem(TilePacks(), 1, CheckBackward);
  ForEachCudaProblem(cpu_test::LargePacks(), 7, CheckBackward);
}
TEST(CudaBackwardSlow, PacksEqualCallsOnTheirSequences) {
  ForEachCudaProblem(cpu_test::SmallPacks(), 1, CheckPack);
  ForEachCudaProblem(TilePacks(), 3, CheckPack);
  ForEachCudaProblem(cpu_test::LargePacks(), 13, CheckPack);
}

}  // namespace
}  // namespace rattn::cuda
