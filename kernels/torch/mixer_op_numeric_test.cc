// torch.ops.rattn.mixer against the reference.
#include <gmock/gmock.h>

#include "kernels/torch/mixer_op_test_util.h"

namespace rattn {
namespace {

using at::Tensor;

TEST(MixerOp, OutputAndGradientsEqualTheReference) {
  for (const char* name : {"full", "swa", "rla", "rattention"}) {
    SCOPED_TRACE(name);
    const MixerCase c(name, at::kFloat);
    ExpectNear(c, RunMixer(c, at::kCPU), 2e-6, 4e-6);
  }
}

TEST(MixerOp, PacksEqualTheReference) {
  for (const char* name : {"swa", "rattention"}) {
    SCOPED_TRACE(name);
    const MixerCase c(name, at::kFloat, kMixerPack);
    ExpectNear(c, RunMixer(c, at::kCPU), 2e-6, 4e-6);
  }
}

TEST(MixerOp, MetaTensorsHaveShapesOnly) {
  const at::TensorOptions meta = at::TensorOptions().device(at::kMeta);
  const Tensor q = at::empty({2, 9, 4, 16}, meta).requires_grad_();
  const Tensor k = at::empty({2, 9, 2, 16}, meta);
  const Tensor v = at::empty({2, 9, 2, 24}, meta);
  const Tensor o = Mixer(q, k, v, "rattention", 4);
  EXPECT_TRUE(o.is_meta());
  EXPECT_EQ(o.sizes(), (std::vector<int64_t>{2, 9, 4, 24}));
}

TEST(MixerOp, RefusesWhatItCannotDo) {
  const Tensor q = at::zeros({1, 5, 3, 16}), k = at::zeros({1, 5, 2, 16});
  const auto error = [&](const Tensor& a, const Tensor& b, const char* variant,
                         int64_t window, const OptionalTensor& pack = {}) {
    return MixerError(a, b, b, variant, window, std::nullopt, std::nullopt, 0.,
                      pack);
  };
  EXPECT_THAT(error(q, k, "swa", 4), testing::HasSubstr("heads"));
  EXPECT_THAT(error(k, k, "swa", 0), testing::HasSubstr("window"));
  EXPECT_THAT(error(k, k, "rattenion", 4), testing::HasSubstr("rattenion"));
  EXPECT_THAT(error(k.to(at::kDouble), k.to(at::kDouble), "swa", 4),
              testing::HasSubstr("float32"));
  EXPECT_THAT(error(k.to(at::kHalf), k.to(at::kHalf), "swa", 4),
              testing::HasSubstr("fp16"));
  EXPECT_THAT(error(k, k, "swa", 4, at::tensor({0, 4}, at::kInt)),
              testing::HasSubstr("from 0 to the 5 tokens, got 0 .. 4"));
  EXPECT_THAT(error(k, k, "swa", 4, at::tensor({0., 5.})),
              testing::HasSubstr("list of integers"));
}

}  // namespace
}  // namespace rattn
