// Whatever sizes a machine chooses, results are right and do not depend on the
// number of threads.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_test_cases.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/tile_sizes.h"

namespace rattn::cpu_test {
namespace {

class TileSizesTest : public testing::Test {
 protected:
  void TearDown() override { UseMachineTileSizes({}); }
};

Problem TrainingProblem(const char* variant, Dtype dtype) {
  Problem p;
  p.spec = TestSpec(*FindVariant(variant), 90);
  p.phase = Phase::kTrain;
  p.dtype = dtype;
  p.shape = MakeShape(1, 6, 2, 300, 300, 40, 40);
  p.threads = 2;
  return p;
}

std::vector<std::vector<double>> Results(Problem problem, int threads) {
  problem.threads = threads;
  TestTensors tensors(problem, {}, 3);
  RunForward(*CpuBackend(), problem, tensors.buffers);
  RunBackward(*CpuBackend(), problem, tensors.buffers);
  std::vector<std::vector<double>> results;
  for (TensorView Buffers::*tensor :
       {&Buffers::o, &Buffers::dq, &Buffers::dk, &Buffers::dv}) {
    results.push_back(Values(tensors.buffers.*tensor));
  }
  return results;
}

constexpr std::array<TileSizes, 5> kSizes = {
    TileSizes{.forward_rows = 16, .backward_rows = 16, .chunk = 17},
    TileSizes{.forward_rows = 40, .backward_rows = 48, .state_every = 1},
    TileSizes{.forward_rows = 100, .backward_rows = 100, .chunk = 100},
    TileSizes{.forward_rows = 512, .backward_rows = 512, .chunk = 256},
    TileSizes{.forward_rows = kMostRows,
              .backward_rows = kMostRows,
              .chunk = kMostChunk,
              .state_every = kMostEvery}};

TEST_F(TileSizesTest, AllAgreeForAnyNumberOfThreads) {
  for (const char* variant : {"full", "swa", "swa+sinks", "rattention"}) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
      const Problem problem = TrainingProblem(variant, dtype);
      UseMachineTileSizes({});
      const auto usual = Results(problem, 2);
      const double limit = dtype == Dtype::kF32 ? 1e-5 : 2e-2;
      for (size_t i = 0; i < kSizes.size(); ++i) {
        SCOPED_TRACE(testing::Message()
                     << variant << " dtype " << Name(dtype) << " sizes " << i);
        UseMachineTileSizes({kSizes[i], kSizes[i]});
        const auto got = Results(problem, 2);
        for (size_t t = 0; t < got.size(); ++t) {
          EXPECT_LE(RelativeRms(got[t], usual[t]), limit) << "tensor " << t;
        }
        EXPECT_EQ(got, Results(problem, 1));
        EXPECT_EQ(got, Results(problem, 3));
      }
    }
  }
}

TEST_F(TileSizesTest, RowsOfTheForwardOnTilesChangeNoBit) {
  if (!TilesOn()) GTEST_SKIP() << "no tiles on this processor";
  for (const char* variant : {"full", "swa"}) {
    const Problem problem = TrainingProblem(variant, Dtype::kBF16);
    UseMachineTileSizes({});
    const auto usual = Results(problem, 2);
    for (const int64_t rows : {16, 64, 200, 512}) {
      UseMachineTileSizes({{}, {.forward_rows = rows}});
      EXPECT_EQ(Results(problem, 2).front(), usual.front())
          << variant << " rows " << rows;
    }
  }
}

}  // namespace
}  // namespace rattn::cpu_test
