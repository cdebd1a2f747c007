// torch.ops.rattn.mixer on a GPU against the reference.
#include "kernels/backend.h"
#include "kernels/torch/mixer_op_test_util.h"
#include "kernels/torch/torch_device.h"

namespace rattn {
namespace {

TEST(MixerOpGpu, OutputAndGradientsEqualTheReference) {
  const at::Device gpu(at::kCUDA, 0);
  std::string reason;
  if (FindBackend("cuda", &reason) == nullptr) GTEST_SKIP() << reason;
  reason = WhyUnusable(gpu);
  if (!reason.empty()) GTEST_SKIP() << reason;
  for (const char* name : {"full", "swa", "rla", "rattention"}) {
    SCOPED_TRACE(name);
    const MixerCase bf16(name, at::kBFloat16), fp16(name, at::kHalf);
    ExpectNear(bf16, RunMixer(bf16, gpu), 1e-2, 2e-2);
    ExpectNear(fp16, RunMixer(fp16, gpu), 2e-3, 4e-3);
  }
}

}  // namespace
}  // namespace rattn
