// Forward passes with the kernels for compute capability 9.0, executed on the
// CPU, against the fp64 reference. All problems run in hopper_slow_test.cc.
#include <gtest/gtest.h>

#include "kernels/cuda/host/hopper_test_cases.h"

namespace rattn::cuda {
namespace {

TEST(CudaHopper, SmallProblemsMatchTheReference) {
  ForEachHopperProblem(cpu_test::SmallCases(), 5);
}

TEST(CudaHopper, TilesMatchTheReference) {
  ForEachHopperProblem(HopperCases(), 3);
}

}  // namespace
}  // namespace rattn::cuda
