// The whole RATTENTION layer of axlearn (cases layer_* of the golden folder,
// which is not part of the repository) through the model layer's mixer.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "models/json_fields.h"
#include "models/safetensors.h"
#include "models/shared_test_util.h"
#include "models/torch/mixer.h"
#include "models/torch/ops.h"
#include "models/torch/test_tensors.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

fs::path GoldenFolder() { return SharedPath("golden"); }

class LayerCase {
 public:
  explicit LayerCase(const fs::path& path) : file_(path.string()) {}

  std::string Text(const std::string& key) const {
    const auto at = file_.metadata().find(key);
    return at == file_.metadata().end() ? "" : at->second;
  }
  int64_t Int(const std::string& key) const { return std::stoll(Text(key)); }
  bool Has(const std::string& name) const { return file_.Find(name); }
  at::Tensor Get(const std::string& name) const {
    const SafeTensor& t = file_.Get(name);
    return at::tensor(t.ToDoubles(), at::kDouble).view(t.shape);
  }

  ModelConfig Config() const {
    ModelConfig c;
    c.name = Text("case");
    c.d_model = Int("M");
    c.layers = 1;
    c.pattern = {"local"};
    c.query_heads = Int("Hq");
    c.kv_heads = Int("Hkv");
    c.head_dim = Int("D");
    c.local.variant = "rattention";
    c.local.window_keys = Int("w") + 1;
    c.local.rope = true;
    c.local.rope_theta = std::stod(Text("rope_theta"));
    c.local.rope_layout = "interleaved";
    if (Text("qk_norm") == "true") {
      c.qk_norm = "local_after_rope";
      c.norm_eps = std::stod(Text("qk_norm_eps"));
    }
    return c;
  }

  void Expect(const std::string& name, const at::Tensor& got) const {
    if (!Has(name)) return;
    const bool gradient = Json::parse(Text("roles")).at(name) == "grad";
    double limit = gradient ? 1e-11 : 1e-12;
    if (got.scalar_type() == at::kFloat) {
      const Json errors = Json::parse(Text("ref_fp32_error"));
      limit = std::max(gradient ? 2e-6 : 1e-6, 4 * errors.value(name, 0.0));
    } else if (file_.Get(name).dtype == "F32") {
      limit = 1e-7;
    }
    EXPECT_LT(RelativeRms(got, Get(name).view(got.sizes())), limit) << name;
  }

 private:
  SafeTensorsFile file_;
};

struct Layer {
  at::Tensor x, qkv, out;  // leaves
  MixerWeights weights;
};

Layer MakeLayer(const LayerCase& golden, const ModelConfig& c,
                at::ScalarType type) {
  const auto leaf = [&](const std::string& name) {
    return golden.Has(name) ? Leaf(golden.Get(name).to(type)) : at::Tensor();
  };
  Layer layer;
  layer.x = leaf("x");
  layer.qkv = Leaf(golden.Get("Wqkv").to(type).flatten(1).t().contiguous());
  layer.out = Leaf(golden.Get("Wo").to(type).flatten(1).contiguous());
  layer.weights.norm_local = leaf("swa_scale");
  layer.weights.norm_memory = leaf("rla_scale");
  if (c.qk_norm != "none") {
    layer.weights.qk.norm_q = leaf("norm_q");
    layer.weights.qk.norm_k = leaf("norm_k");
  }
  return layer;
}

// [B, T, M] to [B, T, Hq + 2 Hkv, D], and the mixer's output to [B, T, M].
at::Tensor Project(const Layer& layer, const ModelConfig& c,
                   const at::Tensor& x) {
  return Linear(x.flatten(0, 1), layer.qkv)
      .view({x.size(0), x.size(1), c.query_heads + 2 * c.kv_heads, c.head_dim});
}
at::Tensor Output(const Layer& layer, const at::Tensor& o) {
  return Linear(o.flatten(2).flatten(0, 1), layer.out)
      .view({o.size(0), o.size(1), -1});
}

void CheckForwardAndBackward(const LayerCase& golden, const Backend* backend,
                             at::ScalarType type) {
  const ModelConfig c = golden.Config();
  const MixerPlan plan = MakeMixerPlan(c, 0, backend, 1);
  const Layer layer = MakeLayer(golden, c, type);
  const at::Tensor out =
      Output(layer, Mix(plan, layer.weights, Project(layer, c, layer.x)));
  golden.Expect("out", out.detach());
  torch::autograd::backward({out}, {golden.Get("dout").to(type)});
  golden.Expect("dx", layer.x.grad());
  golden.Expect("dWqkv", layer.qkv.grad().t().contiguous().view(
                             golden.Get("dWqkv").sizes()));
  golden.Expect("dWo", layer.out.grad().view(golden.Get("dWo").sizes()));
  golden.Expect("dswa_scale", layer.weights.norm_local.grad());
  golden.Expect("drla_scale", layer.weights.norm_memory.grad());
  if (c.qk_norm == "none") return;
  golden.Expect("dnorm_q", layer.weights.qk.norm_q.grad());
  golden.Expect("dnorm_k", layer.weights.qk.norm_k.grad());
}

// One token at a time through the caches gives the same outputs.
void CheckDecode(const LayerCase& golden, const Backend* backend,
                 at::ScalarType type) {
  const c10::InferenceMode inference;
  const ModelConfig c = golden.Config();
  const MixerPlan plan = MakeMixerPlan(c, 0, backend, 1);
  const Layer layer = MakeLayer(golden, c, type);
  std::vector<at::Tensor> rows;
  for (int64_t b = 0; b < layer.x.size(0); ++b) {
    KvCache cache = MakeCache(plan, type);
    std::vector<at::Tensor> steps;
    for (int64_t t = 0; t < layer.x.size(1); ++t) {
      const at::Tensor x = layer.x.narrow(0, b, 1).narrow(1, t, 1);
      steps.push_back(Output(
          layer, MixExtend(plan, layer.weights, Project(layer, c, x), cache)));
    }
    rows.push_back(at::cat(steps, 1));
  }
  golden.Expect("out", at::cat(rows, 0));
}

TEST(LayerGoldenTest, AxlearnLayer) {
  if (!fs::is_directory(GoldenFolder())) {
    GTEST_SKIP() << "no golden folder at " << GoldenFolder();
  }
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(GoldenFolder())) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("layer_") || !name.ends_with(".safetensors")) {
      continue;
    }
    const LayerCase golden(entry.path());
    if (golden.Text("feat") != "softmax" ||
        golden.Text("learned_init") == "true" ||
        golden.Text("rla_qk_scale") == "true") {
      continue;
    }
    for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
      SCOPED_TRACE(fmt::format("{} aten {}", name, at::toString(type)));
      CheckForwardAndBackward(golden, nullptr, type);
    }
    for (const char* backend_name : {"reference", "cpu"}) {
      std::string reason;
      const Backend* backend = FindBackend(backend_name, &reason);
      ASSERT_NE(backend, nullptr) << reason;
      SCOPED_TRACE(name + " " + backend_name);
      CheckForwardAndBackward(golden, backend, at::kFloat);
      CheckDecode(golden, backend, at::kFloat);
      ++checked;
    }
  }
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace rattn
