// Models, training and generation on a GPU against the same on the CPU.
#include <ATen/ATen.h>

#include "kernels/backend.h"
#include "kernels/torch/torch_device.h"
#include "models/torch/device_model_test_util.h"

namespace rattn {
namespace {

class GpuModel : public testing::Test {
 protected:
  void SetUp() override {
    std::string reason;
    if (FindBackend("cuda", &reason) == nullptr) GTEST_SKIP() << reason;
    reason = WhyUnusable(at::Device(at::kCUDA, 0));
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
};

TEST_F(GpuModel, LogitsAreThoseOfTheCpu) {
  for (const ModelConfig& config : DeviceModels()) ExpectLogitsOfTheCpu(config);
}
TEST_F(GpuModel, LearnsAsOnTheCpu) {
  for (const ModelConfig& config : DeviceModels()) ExpectLossesOfTheCpu(config);
}
TEST_F(GpuModel, GeneratesThroughCachesOfTheDevice) {
  for (const ModelConfig& config : DeviceModels()) {
    ExpectTokensOfFullForwards(config);
  }
}

}  // namespace
}  // namespace rattn
