// The cuda backend on a GPU against the fp64 reference, on the problems of the
// tests that execute the kernels on the CPU.
#include <gtest/gtest.h>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/host/extend_test_cases.h"
#include "kernels/cuda/host/hopper_test_cases.h"

namespace rattn::cuda {
namespace {

class CudaGpu : public testing::Test {
 protected:
  void SetUp() override {
    std::string reason;
    backend_ = CudaBackend(&reason);
    if (backend_ == nullptr) GTEST_SKIP() << reason;
  }
  void CheckAll(const std::vector<Case>& cases,
                void (*check)(const Backend*, const Problem&,
                              const TestOptions&)) {
    ForEachCudaProblem(cases, 1,
                       [&](const Problem& problem, const TestOptions& options) {
                         check(backend_, problem, options);
                       });
  }

  const Backend* backend_ = nullptr;
};

TEST_F(CudaGpu, ForwardOfSmallProblems) {
  CheckAll(cpu_test::SmallCases(), CheckForwardOn);
}
TEST_F(CudaGpu, ForwardOfLargeProblems) {
  CheckAll(cpu_test::LargeCases(), CheckForwardOn);
}
TEST_F(CudaGpu, ForwardOfTiles) { CheckAll(TileCases(), CheckForwardOn); }
TEST_F(CudaGpu, Packs) {
  for (const std::vector<Case>& packs :
       {cpu_test::SmallPacks(), cpu_test::LargePacks(), TilePacks()}) {
    CheckAll(packs, CheckForwardOn);
    CheckAll(packs, CheckBackwardOn);
  }
}

// On compute capability 9.0 with its own kernels even where they do not pay.
TEST_F(CudaGpu, ForwardWithTheNewestKernels) {
  setenv("RATTN_CUDA_KERNELS", "newest", 1);
  CheckAll(cpu_test::SmallCases(), CheckForwardOn);
  CheckAll(cpu_test::LargeCases(), CheckForwardOn);
  CheckAll(HopperCases(), CheckForwardOn);
  CheckAll(TilePacks(), CheckForwardOn);
  unsetenv("RATTN_CUDA_KERNELS");
}

TEST_F(CudaGpu, BackwardOfSmallProblems) {
  CheckAll(cpu_test::SmallCases(), CheckBackwardOn);
}
TEST_F(CudaGpu, BackwardOfLargeProblems) {
  CheckAll(cpu_test::LargeCases(), CheckBackwardOn);
}
TEST_F(CudaGpu, BackwardOfTiles) { CheckAll(TileCases(), CheckBackwardOn); }

// Token by token and in pieces, on a cache that stays on the GPU.
TEST_F(CudaGpu, CallsOnACacheOfSmallProblems) {
  CheckAll(cpu_test::SmallCases(),
           [](const Backend* backend, const Problem& problem,
              const TestOptions& options) {
             CheckPiecesOn(backend, problem, options, {{1}, {17, 1, 40}});
           });
}
TEST_F(CudaGpu, CallsOnACacheOfTiles) {
  CheckAll(TileCases(), [](const Backend* backend, const Problem& problem,
                           const TestOptions& options) {
    CheckPiecesOn(backend, problem, options, {{60, 1, 1}});
  });
}

TEST_F(CudaGpu, CopiesOfACacheAreSnapshots) {
  Problem problem;
  problem.spec = TestSpec(*FindVariant("full"), 0);
  problem.phase = Phase::kDecode;
  problem.dtype = Dtype::kBF16;
  problem.shape = MakeShape(2, 4, 2, 1, 1, 64, 64);
  const auto decode = [&](uint64_t seed, KvCache* cache) {
    TestTensors tensors(problem, {}, seed);
    cache->Reserve(1);
    backend_->Extend(problem, tensors.buffers, *cache, {});
    return Values(tensors.buffers.o);
  };
  KvCache cache(problem, false, backend_->cache_allocator());
  KvCache alone(problem, false, backend_->cache_allocator());
  for (KvCache* both : {&cache, &alone}) decode(1, both);
  KvCache fork = cache;
  for (KvCache* both : {&cache, &alone}) decode(2, both);
  decode(3, &fork);
  EXPECT_EQ(decode(4, &cache), decode(4, &alone));
  EXPECT_NE(decode(4, &fork), decode(4, &alone));
}

// What the reference cannot reach: long rows, many blocks. The same bits every
// time, since no sum depends on the order of blocks.
TEST_F(CudaGpu, RepeatedCallsAreEqual) {
  Problem problem;
  problem.spec = TestSpec(*FindVariant("rattention"), 512);
  problem.phase = Phase::kTrain;
  problem.dtype = Dtype::kBF16;
  problem.shape = MakeShape(2, 8, 2, 4096, 4096, 128, 128);
  TestTensors first(problem, {}, 3), second(problem, {}, 3);
  for (const TestTensors* tensors : {&first, &second}) {
    RunForward(*backend_, problem, tensors->buffers);
    RunBackward(*backend_, problem, tensors->buffers);
  }
  EXPECT_EQ(Values(first.buffers.o), Values(second.buffers.o));
  EXPECT_EQ(Values(first.buffers.dk), Values(second.buffers.dk));
}

TEST_F(CudaGpu, TimesCallsAndReadsClocks) {
  Problem problem;
  problem.spec = TestSpec(*FindVariant("swa"), 512);
  problem.phase = Phase::kTrain;
  problem.dtype = Dtype::kBF16;
  problem.shape = MakeShape(1, 8, 2, 4096, 4096, 128, 128);
  const TestTensors tensors(problem, {}, 3);
  const DeviceTimer* timer = backend_->timer();
  ASSERT_NE(timer, nullptr);
  std::string error;
  const auto call = timer->Bring(problem, tensors.buffers, nullptr, &error);
  ASSERT_NE(call, nullptr) << error;
  for (const bool cold : {false, true}) {
    const double seconds = timer->Seconds(*call, 3, cold, &error);
    EXPECT_EQ(error, "");
    EXPECT_GT(seconds, 1e-7);
    EXPECT_LT(seconds, 1);
  }
  problem.phase = Phase::kDecode;
  problem.shape.query_len = problem.shape.key_len = 1;
  const TestTensors token(problem, {}, 3);
  KvCache cache(problem, false, backend_->cache_allocator());
  cache.Reserve(1);
  const auto decode = timer->Bring(problem, token.buffers, &cache, &error);
  ASSERT_NE(decode, nullptr) << error;
  EXPECT_GT(timer->Seconds(*decode, 3, false, &error), 1e-7);
  EXPECT_EQ(error, "");
  const DeviceClocks clocks = timer->Clocks();
  EXPECT_TRUE(!clocks.unknown.empty() || clocks.sm_max_mhz > 100);
}

}  // namespace
}  // namespace rattn::cuda
