#include "kernels/cuda/cuda_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "kernels/cuda/nvml.h"
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

TEST(Nvml, SaysWhatIsMissing) {
  EXPECT_EQ(Nvml("libno-such-nvml.so.1", "0").Clocks().unknown,
            "libno-such-nvml.so.1 was not found");
  EXPECT_EQ(Nvml("libm.so.6", "0").Clocks().unknown, "libm.so.6 did not start");
}

TEST(Nvml, ReadsClocks) {
  const std::string library =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() /
      "librattn_fake_nvml.so";
  const DeviceClocks clocks = Nvml(library.c_str(), "0000:17:00.0").Clocks();
  EXPECT_EQ(clocks.unknown, "");
  EXPECT_EQ(clocks.sm_mhz, 1410);
  EXPECT_EQ(clocks.sm_max_mhz, 1980);
  EXPECT_EQ(clocks.memory_mhz, 2619);
  EXPECT_EQ(clocks.temperature, 71);
  EXPECT_DOUBLE_EQ(clocks.watts, 699.5);
  EXPECT_EQ(clocks.throttled, "power cap");
  EXPECT_THAT(Nvml(library.c_str(), "0000:18:00.0").Clocks().unknown,
              HasSubstr("does not know the GPU 0000:18:00.0"));
}

TEST(Nvml, NamesWhatHoldsClocksDown) {
  EXPECT_EQ(ThrottleText(0), "");
  EXPECT_EQ(ThrottleText(0x1 | 0x2 | 0x10 | 0x100), "");
  EXPECT_EQ(ThrottleText(0x4 | 0x20), "power cap, temperature");
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
  EXPECT_THAT(reason([](Problem& p) { p.local_softcap = 50; }),
              HasSubstr("reference and cpu only"));
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
