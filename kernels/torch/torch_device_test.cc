#include "kernels/torch/torch_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rattn {
namespace {

TEST(TorchDevice, IsTheCpuForBackendsOfTheCpu) {
  std::string reason;
  EXPECT_TRUE(DeviceOf(nullptr).is_cpu());
  EXPECT_TRUE(DeviceOf(FindBackend("reference", &reason)).is_cpu());
  EXPECT_EQ(WhyUnusable(at::kCPU), "");
}

TEST(TorchDevice, SaysWhatLibTorchLacks) {
  const std::string reason = WhyUnusable(at::Device(at::kCUDA, 0));
  if (reason.empty()) GTEST_SKIP() << "this LibTorch sees a GPU";
  EXPECT_THAT(reason, testing::ContainsRegex("could not be loaded|see it"));
}

}  // namespace
}  // namespace rattn
