// torch.ops.rattn.mixer under the CUDA key, on a device whose memory the host
// cannot touch (fake_cuda.h): operator, LibTorch's stream and allocator, the
// cuda backend and its library's calls; the kernels are executed on the CPU.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/reference/reference_backend.h"
#include "kernels/torch/fake_cuda/fake_cuda.h"
#include "kernels/torch/mixer_op_test_util.h"

namespace rattn {
namespace {

using testing::Each;
using testing::HasSubstr;

class MixerOpCuda : public testing::Test {
 protected:
  ~MixerOpCuda() override { EXPECT_EQ(FakeCuda::device().findings.Text(), ""); }
  FakeCuda cuda_;
};

TEST_F(MixerOpCuda, OutputAndGradientsAreMadeOnTheDevice) {
  SetFakeStream(7);
  for (const char* name : {"full", "swa", "rla", "rattention"}) {
    SCOPED_TRACE(name);
    const MixerCase c(name, at::kBFloat16);
    const MixerResult got = RunMixer(c, kFakeCuda);
    EXPECT_TRUE(got.o.is_cuda());
    EXPECT_TRUE(got.dq.is_cuda());
    ExpectNear(c, got, 1e-2, 2e-2);
  }
  const cuda::FakeDevice& device = FakeCuda::device();
  EXPECT_EQ(device.streams.size(), 2u * 4);
  EXPECT_THAT(device.streams, Each(FakeStreamHandle(7)));
  EXPECT_EQ(device.calls_from_host, 0);
}

TEST_F(MixerOpCuda, ComputesInFp16) {
  const MixerCase c("rattention", at::kHalf);
  ExpectNear(c, RunMixer(c, kFakeCuda), 2e-3, 4e-3);
}

TEST_F(MixerOpCuda, PacksAreMadeOnTheDevice) {
  const MixerCase c("rattention", at::kBFloat16, kMixerPack);
  ExpectNear(c, RunMixer(c, kFakeCuda), 1e-2, 2e-2);
}

TEST_F(MixerOpCuda, WithoutGradientsKeepsNothing) {
  const at::NoGradGuard no_grad;
  const MixerCase c("swa", at::kBFloat16);
  const at::Tensor q = c.Q().to(kFakeCuda);
  const size_t before = FakeCuda::device().allocations();
  const at::Tensor o =
      Mixer(q, c.K().to(kFakeCuda), c.V().to(kFakeCuda), "swa", c.window);
  EXPECT_EQ(FakeCuda::device().allocations(), before + 1);
  EXPECT_EQ(FakeCuda::device().streams.size(), 1u);
}

TEST_F(MixerOpCuda, SaysWhatItCannotDo) {
  const at::Tensor host = at::zeros({1, 5, 2, 16}, at::kBFloat16);
  const at::Tensor q = host.to(kFakeCuda);
  const at::Tensor wide = host.to(at::kFloat).to(kFakeCuda);
  EXPECT_THAT(MixerError(q, host, host, "swa", 4),
              HasSubstr("one device, got cuda:0 and cpu"));
  EXPECT_THAT(MixerError(q, q, q, "rattention", 4, at::ones({2, 16}),
                         at::ones({2, 16})),
              HasSubstr("one device"));
  EXPECT_THAT(MixerError(wide, wide, wide, "swa", 4),
              HasSubstr("the CUDA kernels compute bf16 and fp16"));
  EXPECT_EQ(FakeCuda::device().streams.size(), 0u);
}

TEST(MixerOpCudaMissing, SaysWhyThereIsNone) {
  std::string reason;
  if (FindBackend("cuda", &reason) != nullptr) GTEST_SKIP() << "there is one";
  const at::Tensor q = at::zeros({1, 5, 2, 16}, at::kBFloat16).to(kFakeCuda);
  EXPECT_THAT(MixerError(q, q, q, "swa", 4),
              HasSubstr("tensors on cuda:0 cannot be used: " + reason));
}

TEST(FakeCudaDeathTest, IsClosedToTheHost) {
  const at::Tensor t = at::ones({3}).to(kFakeCuda);
  EXPECT_EQ((t + t).cpu().sum().item<float>(), 6);
  EXPECT_DEATH(t.mutable_data_ptr<float>()[0] = 1, "");
}

}  // namespace
}  // namespace rattn
