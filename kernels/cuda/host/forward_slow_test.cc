// As forward_numeric_test.cc, every problem.
#include <gtest/gtest.h>

#include "kernels/cuda/host/cuda_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaForwardSlow, SmallProblemsMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallCases(), 1, CheckForward);
}
TEST(CudaForwardSlow, LargeProblemsMatchTheReference) {
  ForEachCudaProblem(cpu_test::LargeCases(), 1, CheckForward);
}
TEST(CudaForwardSlow, TilesMatchTheReference) {
  ForEachCudaProblem(TileCases(), 1, CheckForward);
}

TEST(CudaForwardSlow, PacksMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallPacks(), 1, CheckForward);
  ForEachCudaProblem(TilePacks(), 1, CheckForward);
  ForEachCudaProblem(cpu_test::LargePacks(), 5, CheckForward);
}

}  // namespace
}  // namespace rattn::cuda
