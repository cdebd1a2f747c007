// Kernel backends and plain LibTorch operations are two implementations of one
// mixer: outputs and all gradients agree, over the catalog.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <vector>

#include "kernels/catalog.h"
#include "models/torch/aten_mixer.h"
#include "models/torch/mixer.h"
#include "models/torch/ops.h"
#include "models/torch/test_tensors.h"
#include "models/torch/transformer.h"

namespace rattn {
namespace {

constexpr int64_t kWindow = 4;

ModelConfig SmallConfig(const Variant& variant) {
  ModelConfig c;
  c.name = "small";
  c.vocab_size = 17;
  c.d_model = 24;
  c.layers = 3;
  c.pattern = {"local", "global"};
  c.query_heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.ffn_dim = 20;
  c.init_std = 0.3;
  c.token_shift = true;
  c.local.variant = variant.name;
  c.local.window_keys = variant.takes_window ? kWindow : 0;
  c.local.rope = true;
  c.global.variant = "full";
  return c;
}

struct Backends {
  std::string name;
  const Backend* backend;
};
std::vector<Backends> UsableBackends() {
  std::vector<Backends> found;
  for (const BackendEntry& entry : BackendList()) {
    if (entry.on_device) continue;  // device_model_numeric_test.cc
    std::string reason;
    const Backend* backend = entry.get(&reason);
    if (backend != nullptr) found.push_back({std::string(entry.name), backend});
  }
  return found;
}

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

// The weights that the plan needs, as leaves.
MixerWeights MakeWeights(const ModelConfig& c, const MixerPlan& plan,
                         at::ScalarType type) {
  MixerWeights w;
  const auto make = [&](bool needed, at::IntArrayRef shape, uint64_t stream) {
    return needed ? Leaf(RandomTensor(shape, stream, type) + 1.5)
                  : at::Tensor();
  };
  const MixerSpec& spec = plan.problem.spec;
  w.qk.norm_q = make(Norms(plan.qk), {c.head_dim}, 1);
  w.qk.norm_k = make(Norms(plan.qk), {c.head_dim}, 2);
  w.qk.memory_q_scale = make(plan.qk.memory_scales, {c.head_dim}, 3);
  w.qk.memory_k_scale = make(plan.qk.memory_scales, {c.head_dim}, 4);
  const bool norms = UsesNorms(spec);
  w.norm_local = make(norms && HasLocal(spec), {c.query_heads, c.head_dim}, 5);
  w.norm_memory =
      make(norms && HasMemory(spec), {c.query_heads, c.head_dim}, 6);
  return w;
}

// Values that every dtype holds exactly.
at::Tensor ExactTensor(at::IntArrayRef shape, uint64_t stream,
                       at::ScalarType type) {
  return RandomTensor(shape, stream, at::kBFloat16).to(type);
}

// Output and gradients of a mixer on fixed random inputs.
Tensors RunMixer(const ModelConfig& c, const Backend* backend,
                 at::ScalarType type) {
  const MixerPlan plan = MakeMixerPlan(c, 0, backend, 1);
  const at::ScalarType wide = type == at::kDouble ? at::kDouble : at::kFloat;
  const MixerWeights w = MakeWeights(c, plan, wide);
  const at::Tensor qkv = Leaf(ExactTensor(
      {2, 13, c.query_heads + 2 * c.kv_heads, c.head_dim}, 7, type));
  const at::Tensor o = Mix(plan, w, qkv);
  torch::autograd::backward({o}, {ExactTensor(o.sizes(), 8, type)});
  Tensors all = {{"o", o.detach()}, {"d qkv", qkv.grad()}};
  const auto add = [&](const std::string& name, const at::Tensor& leaf) {
    if (leaf.defined()) all.emplace_back("d " + name, leaf.grad());
  };
  add("norm_q", w.qk.norm_q);
  add("norm_k", w.qk.norm_k);
  add("memory_q_scale", w.qk.memory_q_scale);
  add("memory_k_scale", w.qk.memory_k_scale);
  add("norm_local", w.norm_local);
  add("norm_memory", w.norm_memory);
  return all;
}

void ExpectClose(const Tensors& got, const Tensors& want, double limit) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(got[i].second.defined()) << got[i].first;
    EXPECT_LT(RelativeRms(got[i].second, want[i].second), limit)
        << got[i].first;
  }
}

bool SlotSinks(const Variant& v) {
  return v.spec.local.kind == LocalKind::kWindowSinks &&
         v.spec.local.sink_positions == SinkPositions::kSlot;
}

TEST(MixerTest, BackendsAgreeWithPlainOperations) {
  const std::pair<at::ScalarType, double> types[] = {
      {at::kDouble, 1e-11}, {at::kFloat, 3e-6}, {at::kBFloat16, 2e-2}};
  int compared = 0;
  for (const Variant& variant : Catalog()) {
    for (const char* qk_norm : {"none", "before_rope", "local_after_rope"}) {
      ModelConfig c = SmallConfig(variant);
      c.qk_norm = qk_norm;
      c.memory_qk_scale = c.qk_norm == "none" ? 0 : 2;
      c.local.rope_layout = c.qk_norm == "none" ? "half_split" : "interleaved";
      if (SlotSinks(variant) && c.qk_norm == "local_after_rope") {
        EXPECT_ANY_THROW(MakeMixerPlan(c, 0, nullptr, 1));
        continue;
      }
      const Tensors want = RunMixer(c, nullptr, at::kDouble);
      for (const auto& [name, backend] : UsableBackends()) {
        for (const auto& [type, limit] : types) {
          SCOPED_TRACE(name + " " + std::string(variant.name) + " " + qk_norm +
                       " " + at::toString(type));
          Problem problem = MakeMixerPlan(c, 0, backend, 1).problem;
          problem.phase = Phase::kTrain;
          problem.dtype = type == at::kDouble     ? Dtype::kF64
                          : type == at::kBFloat16 ? Dtype::kBF16
                                                  : Dtype::kF32;
          if (!backend->Supports(problem).ok()) continue;
          ExpectClose(RunMixer(c, backend, type), want, limit);
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 0);
}

// Loss and flat gradient of a small transformer.
Tensors RunTransformer(const ModelConfig& c, const std::string& backend,
                       const std::string& dtype) {
  const Execution execution(ExecutionOptions{backend, dtype, 1});
  const ParameterLayout layout = LayoutOf(c);
  const at::Tensor flat = InitialParameters(layout, 3);
  const at::Tensor gradient = at::zeros_like(flat);
  const ModelWeights weights = ViewWeights(c, layout, flat, gradient);
  const Transformer model(c, execution);
  std::vector<int32_t> tokens, targets;
  std::vector<int64_t> places;
  for (int64_t i = 0; i < 2 * 15; ++i) {
    tokens.push_back((i * i + 3 * i) % c.vocab_size);
    if (i % 3 == 0) continue;
    places.push_back(i);
    targets.push_back(i % c.vocab_size);
  }
  const at::Tensor logits =
      model.Logits(weights, MakeTokens(tokens, 2, 15, c.vocab_size),
                   at::tensor(places, at::kLong));
  const at::Tensor loss =
      MeanCrossEntropy(logits, at::tensor(targets, at::kInt));
  torch::autograd::backward({loss}, {});
  Tensors all = {{"logits", logits.detach()}, {"loss", loss.detach()}};
  for (const Parameter& p : layout.parameters) {
    all.emplace_back("d " + p.name, PartOf(gradient, p));
  }
  return all;
}

TEST(TransformerTest, BackendsAgreeWithPlainOperations) {
  for (const Variant& variant : Catalog()) {
    ModelConfig c = SmallConfig(variant);
    c.qk_norm = "before_rope";
    c.memory_qk_scale = 3;
    c.ffn = "geglu";
    const Tensors want = RunTransformer(c, "aten", "fp32");
    for (const auto& [name, backend] : UsableBackends()) {
      SCOPED_TRACE(name + " " + std::string(variant.name));
      Problem problem = LayerProblem(c, 0);
      problem.phase = Phase::kTrain;
      if (!backend->Supports(problem).ok()) continue;
      ExpectClose(RunTransformer(c, name, "fp32"), want, 2e-5);
      const Tensors bf16 = RunTransformer(c, name, "bf16");
      EXPECT_LT(RelativeRms(bf16[0].second, want[0].second), 0.05);
    }
  }
}

// Places select rows; they change no value.
TEST(TransformerTest, PlacesSelectRowsOfAllLogits) {
  ModelConfig c = SmallConfig(*FindVariant("rattention"));
  c.tied_embeddings = false;
  const Execution execution(ExecutionOptions{"aten", "fp32", 1});
  const ParameterLayout layout = LayoutOf(c);
  const ModelWeights weights =
      ViewWeights(c, layout, InitialParameters(layout, 3));
  const Transformer model(c, execution);
  const std::vector<int32_t> tokens = {1, 5, 2, 9, 9, 3, 16, 0};
  const TokenBlock block = MakeTokens(tokens, 2, 4, c.vocab_size);
  const at::Tensor all = model.Logits(weights, block, at::Tensor());
  const at::Tensor places = at::tensor(std::vector<int64_t>{6, 1}, at::kLong);
  EXPECT_LT(RelativeRms(model.Logits(weights, block, places),
                        all.index_select(0, places)),
            1e-6);
}

TEST(WeightsTest, CountAndStartAsTheConfigSays) {
  for (const Variant& variant : Catalog()) {
    for (const char* qk_norm : {"none", "before_rope"}) {
      SCOPED_TRACE(std::string(variant.name) + " " + qk_norm);
      ModelConfig c = SmallConfig(variant);
      c.qk_norm = qk_norm;
      c.memory_qk_scale = 3;
      const ParameterLayout layout = LayoutOf(c);
      int64_t total = 0;
      for (const Parameter& p : layout.parameters) total += p.NumElements();
      EXPECT_EQ(total, CountParameters(c).total);
    }
  }
  ModelConfig c = SmallConfig(*FindVariant("rattention"));
  c.memory_qk_scale = 3;
  c.d_model = 128;
  const ParameterLayout layout = LayoutOf(c);
  const at::Tensor flat = InitialParameters(layout, 5);
  EXPECT_TRUE(at::equal(flat, InitialParameters(layout, 5)));
  EXPECT_FALSE(at::equal(flat, InitialParameters(layout, 6)));
  for (const Parameter& p : layout.parameters) {
    const at::Tensor part = PartOf(flat, p);
    if (p.std > 0) {
      EXPECT_NEAR(part.std().item<double>() / p.std, 1, 0.1) << p.name;
    } else {
      EXPECT_TRUE(at::equal(part, at::full_like(part, p.constant))) << p.name;
    }
  }
}

}  // namespace
}  // namespace rattn
