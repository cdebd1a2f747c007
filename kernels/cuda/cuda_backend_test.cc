#include "kernels/cuda/cuda_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/support.h"
#include "kernels/test_tensors.h"

namespace rattn::cuda {
namespace {

using ::testing::HasSubstr;

TEST(CudaBackend, IsThereOrSaysWhyNot) {
  std::string reason;
  const Backend* backend = CudaBackend(&reason);
  EXPECT_EQ(backend == nullptr, !reason.empty()) << reason;
}

TEST(CudaBackend, NamesTheDriverThatIsMissing) {
  EXPECT_THAT(FindGpu("libno-such-driver.so.1").reason,
              HasSubstr("no NVIDIA driver"));
}

// Some library that is not a driver.
TEST(CudaBackend, ReportsADriverThatDoesNotStart) {
  EXPECT_THAT(FindGpu("libm.so.6").reason, HasSubstr("did not start"));
}

TEST(CudaSupports, SaysWhatTheKernelsLack) {
  Problem problem;
  problem.spec = TestSpec(*FindVariant("swa"), 8);
  problem.dtype = Dtype::kBF16;
  EXPECT_EQ(CudaSupports(problem).reason, "");
  const auto reason = [&](auto edit) {
    Problem p = problem;
    edit(p);
    return CudaSupports(p).reason;
  };
  EXPECT_THAT(reason([](Problem& p) { p.dtype = Dtype::kF32; }),
              HasSubstr("bf16 and fp16"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.value_dim = 264; }),
              HasSubstr("up to head dim 256, got 264"));
  EXPECT_THAT(reason([](Problem& p) { p.local_scale = -1; }),
              HasSubstr("positive"));
  EXPECT_EQ(reason([](Problem& p) { p.phase = Phase::kDecode; }), "");
  EXPECT_THAT(reason([](Problem& p) {
                p.spec = TestSpec(*FindVariant("linear"), 0);
                p.spec.memory.normalizer = Normalizer::kSum;
                p.shape.value_dim = 256;
              }),
              HasSubstr("'sum' go up to value dim 248, got 256"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.key_len = int64_t{1} << 31; }),
              HasSubstr("32 bits"));
}

}  // namespace
}  // namespace rattn::cuda
