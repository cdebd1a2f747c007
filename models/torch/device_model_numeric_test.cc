// Models, training and generation on a device whose memory the host cannot
// touch (fake_cuda.h), against the same on the CPU.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "kernels/torch/fake_cuda/fake_cuda.h"
#include "models/error.h"
#include "models/torch/device_model_test_util.h"
#include "models/torch/ops.h"
#include "models/torch/qk.h"

namespace rattn {
namespace {

using Tensors = std::vector<at::Tensor>;

class DeviceModel : public testing::Test {
 protected:
  ~DeviceModel() override {
    EXPECT_EQ(FakeCuda::device().findings.Text(), "");
    EXPECT_EQ(FakeCuda::device().calls_from_host, 0);
  }
  FakeCuda cuda_;
};

TEST_F(DeviceModel, LogitsAreThoseOfTheCpu) {
  for (const ModelConfig& config : DeviceModels()) {
    SCOPED_TRACE(config.local.variant + " " + config.qk_norm);
    ExpectLogitsOfTheCpu(config);
  }
  EXPECT_GT(FakeCuda::device().streams.size(), 0u);
}

TEST_F(DeviceModel, LearnsAsOnTheCpu) {
  for (const ModelConfig& config : DeviceModels()) {
    SCOPED_TRACE(config.local.variant + " " + config.qk_norm);
    ExpectLossesOfTheCpu(config);
  }
}

TEST_F(DeviceModel, TrainingGoesOnFromItsCheckpoint) {
  std::string folder = testing::TempDir() + "rattn-device-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const ModelConfig config = CopyModel("rattention", 3);
  const TrainResult whole = TrainShortly(config, "cuda");
  TrainShortly(config, "cuda", folder + "/a", 2);
  const TrainResult resumed = TrainShortly(config, "cuda", folder + "/a");
  EXPECT_EQ(resumed.resumed_from, 2);
  EXPECT_EQ(resumed.loss_curve, whole.loss_curve);
  const auto model = GetModelRuntime().Load(folder + "/a", InBf16("cuda"));
  EXPECT_EQ(
      model->Generate(std::vector<int32_t>{1, 2, 3}, 2, -1, 0, nullptr).size(),
      2u);
  std::filesystem::remove_all(folder);
}

TEST_F(DeviceModel, GeneratesThroughCachesOfTheDevice) {
  for (const ModelConfig& config : DeviceModels()) {
    SCOPED_TRACE(config.local.variant + " " + config.qk_norm);
    ExpectTokensOfFullForwards(config);
  }
}

std::string Message(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no UserError";
}

TEST_F(DeviceModel, SaysWhatItCannotDo) {
  EXPECT_THAT(Message([] {
                GetModelRuntime()
                    .Create(CopyModel("swa", 3), 1, {"cuda", "fp32", 1, 0})
                    ->Logits(CopyTask().TrainBatch(0, 1),
                             std::vector<TokenAt>{{0, 1}});
              }),
              testing::HasSubstr("bf16 and fp16; choose another"));
  EXPECT_THAT(Message([] {
                GetModelRuntime().LoadScoring("nowhere", {}, InBf16("cuda"));
              }),
              testing::HasSubstr("run on the CPU only, not on cuda"));
}

// f on leaves of both devices: outputs and gradients.
void ExpectSameOnDevice(const std::function<at::Tensor(const Tensors&)>& f,
                        const Tensors& inputs) {
  Tensors found[2];
  for (const bool on_device : {false, true}) {
    const at::Device device = on_device ? kFakeCuda : at::Device(at::kCPU);
    Tensors leaves;
    for (const at::Tensor& t : inputs) {
      leaves.push_back(Leaf(t.to(at::kFloat)).detach().to(device));
      leaves.back().requires_grad_(true);
    }
    const at::Tensor out = f(leaves);
    EXPECT_EQ(out.device(), device);
    const at::Tensor d_out =
        RandomTensor(out.sizes(), 9, out.scalar_type()).to(device);
    torch::autograd::backward({out}, {d_out});
    found[on_device].push_back(out.detach().cpu());
    for (const at::Tensor& leaf : leaves) {
      found[on_device].push_back(leaf.grad().cpu());
    }
  }
  for (size_t i = 0; i < found[0].size(); ++i) {
    EXPECT_LE(RelativeRms(found[1][i], found[0][i]), 2e-6) << "tensor " << i;
  }
}

TEST_F(DeviceModel, OperationsAreThoseOfTheCpu) {
  const auto on = [](const at::Tensor& t, const Tensors& like) {
    return t.to(like[0].device());
  };
  const at::Tensor tokens = at::tensor({3, 0, 2, 3}, at::kInt);
  const at::Tensor previous = at::tensor({-1, 3, 0, 2}, at::kInt);
  const at::Tensor x = RandomTensor({4, 10}, 1), w = RandomTensor({10}, 2);
  const at::Tensor table = RandomTensor({5, 10}, 3);
  ExpectSameOnDevice(
      [&](const Tensors& t) {
        return Embed(on(tokens, t), on(previous, t), t[0], t[1]);
      },
      {table, RandomTensor({5, 10}, 4)});
  ExpectSameOnDevice(
      [&](const Tensors& t) {
        return Embed(on(tokens, t), on(previous, t), t[0], at::Tensor());
      },
      {table});
  ExpectSameOnDevice(
      [](const Tensors& t) { return RmsNorm(t[0], t[1], 1e-6, at::kFloat); },
      {x, w});
  for (const Gate gate : {Gate::kSilu, Gate::kGelu, Gate::kGeluErf}) {
    ExpectSameOnDevice(
        [gate](const Tensors& t) { return GatedProduct(t[0], gate); }, {x});
  }
  ExpectSameOnDevice(
      [&](const Tensors& t) { return MeanCrossEntropy(t[0], on(tokens, t)); },
      {x});
}

QkPlan MakePlan(QkPlan::Norm norm, bool local, bool memory, bool scales) {
  QkPlan plan;
  plan.norm = norm;
  plan.local = local;
  plan.memory = memory;
  plan.memory_scales = scales;
  plan.positions = {.rope = true,
                    .theta = 100,
                    .layout = RopeLayout::kInterleaved,
                    .scaling = {}};
  plan.query_heads = 2;
  plan.kv_heads = 1;
  return plan;
}

// Gradients of random cotangents; those of v heads are not PrepareQk's.
Tensors QkOn(at::Device device, const QkPlan& plan) {
  const auto random = [&](at::IntArrayRef shape, uint64_t stream) {
    return RandomTensor(shape, stream, at::kFloat).to(device);
  };
  const at::Tensor qkv = random({2, 5, 4, 8}, 1);
  QkWeights w;
  if (Norms(plan)) {
    w.norm_q = random({8}, 2);
    w.norm_k = random({8}, 3);
  }
  if (plan.memory_scales) {
    w.memory_q_scale = random({8}, 4);
    w.memory_k_scale = random({8}, 5);
  }
  const Qk qk = PrepareQk(plan, qkv, w, 3);
  const Qk d{random({2, 5, 3, 8}, 6),
             qk.memory.defined() ? random({2, 5, 3, 8}, 7) : at::Tensor()};
  at::Tensor d_qkv = at::zeros(qkv.sizes(), qkv.options());
  const QkWeights dw = PrepareQkBackward(plan, qkv, w, d, d_qkv);
  Tensors found;
  for (const at::Tensor& t : {qk.local, qk.memory, d_qkv, dw.norm_q, dw.norm_k,
                              dw.memory_q_scale, dw.memory_k_scale}) {
    if (t.defined()) found.push_back(t.cpu());
  }
  return found;
}

TEST_F(DeviceModel, QueriesAndKeysAreThoseOfTheCpu) {
  using Norm = QkPlan::Norm;
  for (const QkPlan& plan : {MakePlan(Norm::kBefore, true, true, true),
                             MakePlan(Norm::kBefore, false, true, true),
                             MakePlan(Norm::kBefore, true, false, false),
                             MakePlan(Norm::kLocalAfterRope, true, true, false),
                             MakePlan(Norm::kLocalAfterRope, true, true, true),
                             MakePlan(Norm::kNone, true, true, true)}) {
    const Tensors want = QkOn(at::kCPU, plan), got = QkOn(kFakeCuda, plan);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_LE(RelativeRms(got[i], want[i]), 2e-6)
          << "tensor " << i << " of norm " << static_cast<int>(plan.norm);
    }
  }
}

}  // namespace
}  // namespace rattn
