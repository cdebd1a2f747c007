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

}  // namespace
}  // namespace rattn::cuda
