// As hopper_numeric_test.cc, every problem.
#include <gtest/gtest.h>

#include "kernels/cuda/host/hopper_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaHopperSlow, SmallProblemsMatchTheReference) {
  ForEachHopperProblem(cpu_test::SmallCases(), 1);
}
TEST(CudaHopperSlow, LargeProblemsMatchTheReference) {
  ForEachHopperProblem(cpu_test::LargeCases(), 1);
}
TEST(CudaHopperSlow, TilesMatchTheReference) {
  ForEachHopperProblem(HopperCases(), 1);
  ForEachHopperProblem(TileCases(), 1);
}

}  // namespace
}  // namespace rattn::cuda
