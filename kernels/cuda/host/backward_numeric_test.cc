// Backward passes of the CUDA kernels, executed on the CPU, against the fp64
// reference. All problems run in backward_slow_test.cc.
#include <gtest/gtest.h>

#include "kernels/cuda/host/cuda_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaBackward, SmallProblemsMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallCases(), 5, CheckBackward);
}

TEST(CudaBackward, TilesMatchTheReference) {
  ForEachCudaProblem(TileCases(), 7, CheckBackward);
}

TEST(CudaBackward, PacksMatchTheReference) {
  ForEachCudaProblem(cpu_test::SmallPacks(), 7, CheckBackward);
  ForEachCudaProblem(TilePacks(), 11, CheckBackward);
}

TEST(CudaBackward, PacksEqualCallsOnTheirSequences) {
  ForEachCudaProblem({TilePacks()[0], cpu_test::SmallPacks()[2]}, 9, CheckPack);
}

}  // namespace
}  // namespace rattn::cuda
