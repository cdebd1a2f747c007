// torch.ops.rattn.mixer against the reference.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

#include <optional>
#include <string>

#include "kernels/reference/reference_backend.h"
#include "kernels/test_tensors.h"

namespace rattn {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor Mixer(const Tensor& q, const Tensor& k, const Tensor& v,
             const std::string& variant, int64_t window,
             const OptionalTensor& norm_local = std::nullopt,
             const OptionalTensor& norm_memory = std::nullopt,
             double rope_theta = 0,
             const OptionalTensor& cu_seqlens = std::nullopt) {
  using Signature =
      Tensor(const Tensor&, const Tensor&, const Tensor&, const std::string&,
             int64_t, int64_t, const OptionalTensor&, const OptionalTensor&,
             double, const OptionalTensor&);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("rattn::mixer", "")
                             .typed<Signature>();
  return op.call(q, k, v, variant, window, -1, norm_local, norm_memory,
                 rope_theta, cu_seqlens);
}

Tensor Leaf(const TensorView& view) {
  return at::from_blob(view.data, view.shape, view.stride, at::kFloat)
      .clone()
      .requires_grad_(true);
}

double Error(const Tensor& got, const TensorView& want) {
  const Tensor dense = got.detach().contiguous();
  const float* data = dense.const_data_ptr<float>();
  return RelativeRms(std::vector<double>(data, data + dense.numel()),
                     TestTensors::Flat(want));
}

TEST(MixerOp, OutputAndGradientsEqualTheReference) {
  for (const char* name : {"full", "swa", "rla", "rattention"}) {
    SCOPED_TRACE(name);
    Problem p;
    const Variant& variant = *FindVariant(name);
    p.spec = TestSpec(variant, 7);
    p.phase = Phase::kTrain;
    p.shape = MakeShape(2, 4, 2, 37, 37, 16, 24);
    p.positions = {.rope = true, .theta = 1e4};
    TestTensors want(p, {}, 3);
    want.buffers.d_final_state = {};
    RunForward(*ReferenceBackend(), p, want.buffers);
    RunBackward(*ReferenceBackend(), p, want.buffers);
    const Buffers& b = want.buffers;
    const Tensor q = Leaf(b.q), k = Leaf(b.k), v = Leaf(b.v);
    OptionalTensor local, memory;
    if (b.norm_local) {
      local = Leaf(b.norm_local);
      memory = Leaf(b.norm_memory);
    }
    const Tensor o =
        Mixer(q, k, v, name, variant.takes_window ? 7 : 0,
              local ? OptionalTensor(local->view({4, 24})) : local,
              memory ? OptionalTensor(memory->view({4, 24})) : memory, 1e4);
    EXPECT_LE(Error(o, b.o), 2e-6);
    torch::autograd::backward({o}, {Leaf(b.d_o).detach()});
    EXPECT_LE(Error(q.grad(), b.dq), 4e-6);
    EXPECT_LE(Error(k.grad(), b.dk), 4e-6);
    EXPECT_LE(Error(v.grad(), b.dv), 4e-6);
    if (!local) continue;
    EXPECT_LE(Error(local->grad(), b.d_norm_local), 4e-6);
    EXPECT_LE(Error(memory->grad(), b.d_norm_memory), 4e-6);
  }
}

TEST(MixerOp, PacksEqualTheReference) {
  constexpr int64_t kPack[] = {0, 5, 5, 6, 37};
  for (const char* name : {"swa", "rattention"}) {
    SCOPED_TRACE(name);
    Problem p;
    p.spec = TestSpec(*FindVariant(name), 7);
    p.phase = Phase::kTrain;
    p.shape = MakeShape(1, 4, 2, 37, 37, 16, 24);
    p.positions = {.rope = true, .theta = 1e4};
    p.cu_seqlens = kPack;
    TestTensors want(p, {.norms = false}, 3);
    want.buffers.d_final_state = {};
    RunForward(*ReferenceBackend(), p, want.buffers);
    RunBackward(*ReferenceBackend(), p, want.buffers);
    const Buffers& b = want.buffers;
    const Tensor q = Leaf(b.q), k = Leaf(b.k), v = Leaf(b.v);
    const Tensor o = Mixer(q, k, v, name, 7, std::nullopt, std::nullopt, 1e4,
                           at::tensor({0, 5, 5, 6, 37}, at::kInt));
    EXPECT_LE(Error(o, b.o), 2e-6);
    torch::autograd::backward({o}, {Leaf(b.d_o).detach()});
    EXPECT_LE(Error(q.grad(), b.dq), 4e-6);
    EXPECT_LE(Error(k.grad(), b.dk), 4e-6);
    EXPECT_LE(Error(v.grad(), b.dv), 4e-6);
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
  const auto error =
      [&](const Tensor& a, const Tensor& b, const char* variant, int64_t window,
          const OptionalTensor& cu_seqlens = std::nullopt) -> std::string {
    try {
      Mixer(a, b, b, variant, window, std::nullopt, std::nullopt, 0,
            cu_seqlens);
    } catch (const c10::Error& e) {
      return e.what_without_backtrace();
    }
    return "";
  };
  EXPECT_THAT(error(q, k, "swa", 4), testing::HasSubstr("heads"));
  EXPECT_THAT(error(k, k, "swa", 0), testing::HasSubstr("window"));
  EXPECT_THAT(error(k, k, "rattenion", 4), testing::HasSubstr("rattenion"));
  EXPECT_THAT(error(k.to(at::kDouble), k.to(at::kDouble), "swa", 4),
              testing::HasSubstr("float32"));
  EXPECT_THAT(error(k, k, "swa", 4, at::tensor({0, 4}, at::kInt)),
              testing::HasSubstr("from 0 to the 5 tokens, got 0 .. 4"));
  EXPECT_THAT(error(k, k, "swa", 4, at::tensor({0., 5.})),
              testing::HasSubstr("list of integers"));
}

}  // namespace
}  // namespace rattn
