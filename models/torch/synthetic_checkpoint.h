// Tests only: small random checkpoints in the form that published ones have,
// and their forward pass written from the architectures' definitions in fp64,
// without this program's config, transformer or kernels.
#pragma once

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "models/json_fields.h"
#include "models/safetensors.h"

namespace rattn {

struct Synthetic {
  std::string name;
  std::string config;  // keys of config.json beside the sizes
  bool qk_norm = false, post_norms = false, qkv_bias = false, tied = false;
  int64_t experts = 1;
  double norm_offset = 0, attention_softcap = 0, logit_softcap = 0;
  double attention_scale = 0;  // 0 = 1/sqrt(head dim)
  double embedding_scale = 1;
  std::string gate = "silu";        // "silu" or "tanh"
  std::vector<int64_t> windows;     // per layer; 0 = full
  std::vector<double> theta;        // per layer
  std::vector<double> slow_down{};  // per layer: linear scaling of positions
  // Llama 3's scaling of positions; factor 0: none.
  struct {
    double factor = 0, low = 0, high = 0, original = 0;
  } llama3{};
};

inline void PrintTo(const Synthetic& s, std::ostream* out) { *out << s.name; }

class SyntheticCheckpoint {
 public:
  static constexpr int64_t kVocab = 97, kWidth = 32, kLayers = 4, kHeads = 4,
                           kKvHeads = 2, kDim = 16, kFfn = 48;

  explicit SyntheticCheckpoint(const Synthetic& s,
                               at::ScalarType dtype = at::kFloat)
      : s_(s), dtype_(dtype) {
    static int count = 0;
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("rattn-{}-{}-{}", s.name, getpid(), count++);
    std::filesystem::create_directories(folder_);
    at::manual_seed(5);
    MakeTensors();
    Write();
  }
  ~SyntheticCheckpoint() { std::filesystem::remove_all(folder_); }

  std::string folder() const { return folder_.string(); }
  std::map<std::string, at::Tensor>& tensors() { return tensors_; }

  // Writes the tensors as they are now.
  void Write() const {
    std::ofstream(folder_ / "config.json") << fmt::format(
        R"({{"vocab_size": {}, "hidden_size": {}, "num_hidden_layers": {},
            "num_attention_heads": {}, "num_key_value_heads": {},
            "head_dim": {}, "intermediate_size": {}, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 512,
            "tie_word_embeddings": {}, {}}})",
        kVocab, kWidth, kLayers, kHeads, kKvHeads, kDim, kFfn, s_.tied,
        s_.config);
    SafeTensorsWriter writer;
    for (const auto& [name, t] : tensors_) {
      writer.Add(name, dtype_ == at::kBFloat16 ? "BF16" : "F32",
                 t.sizes().vec(), t.const_data_ptr(), t.nbytes());
    }
    writer.Write((folder_ / "model.safetensors").string());
  }

  // The same in two files with an index.
  void WriteSharded() const {
    std::filesystem::remove(folder_ / "model.safetensors");
    Json map = Json::object();
    SafeTensorsWriter writers[2];
    for (const auto& [name, t] : tensors_) {
      const size_t shard = map.size() % 2;
      map[name] = ShardName(shard);
      writers[shard].Add(name, dtype_ == at::kBFloat16 ? "BF16" : "F32",
                         t.sizes().vec(), t.const_data_ptr(), t.nbytes());
    }
    for (const size_t shard : {0, 1}) {
      writers[shard].Write((folder_ / ShardName(shard)).string());
    }
    std::ofstream(folder_ / "model.safetensors.index.json")
        << Json({{"weight_map", map}});
  }

  // Log-probabilities [T, V] of the token after each, fp64.
  at::Tensor LogProbs(const std::vector<int32_t>& tokens) const {
    at::Tensor x =
        W("model.embed_tokens.weight").index_select(0, at::tensor(tokens)) *
        s_.embedding_scale;
    for (int64_t i = 0; i < kLayers; ++i) {
      const std::string p = fmt::format("model.layers.{}.", i);
      at::Tensor o = Attention(i, Norm(x, p + "input_layernorm.weight"));
      if (s_.post_norms) o = Norm(o, p + "post_attention_layernorm.weight");
      x = x + o;
      o = FeedForward(
          p, Norm(x, p + (s_.post_norms ? "pre_feedforward_layernorm.weight"
                                        : "post_attention_layernorm.weight")));
      if (s_.post_norms) o = Norm(o, p + "post_feedforward_layernorm.weight");
      x = x + o;
    }
    x = Norm(x, "model.norm.weight");
    at::Tensor logits = at::mm(
        x, W(s_.tied ? "model.embed_tokens.weight" : "lm_head.weight").t());
    return Capped(logits, s_.logit_softcap).log_softmax(1);
  }

 private:
  static std::string ShardName(size_t shard) {
    return fmt::format("model-0000{}-of-00002.safetensors", shard + 1);
  }

  void Add(const std::string& name, std::vector<int64_t> shape,
           double deviation) {
    tensors_[name] = (at::randn(shape) * deviation).to(dtype_);
  }
  void AddNorm(const std::string& name, int64_t width) {
    tensors_[name] =
        (at::randn({width}) * 0.2 + (1 - s_.norm_offset)).to(dtype_);
  }

  void MakeTensors() {
    Add("model.embed_tokens.weight", {kVocab, kWidth}, 0.5);
    if (!s_.tied) Add("lm_head.weight", {kVocab, kWidth}, 0.5);
    AddNorm("model.norm.weight", kWidth);
    for (int64_t i = 0; i < kLayers; ++i) {
      MakeLayer(fmt::format("model.layers.{}.", i));
    }
  }

  void MakeLayer(const std::string& p) {
    const std::string attention = p + "self_attn.";
    for (const auto& [name, heads] :
         {std::pair{"q", kHeads}, std::pair{"k", kKvHeads},
          std::pair{"v", kKvHeads}}) {
      const std::string stem = attention + name + "_proj.";
      Add(stem + "weight", {heads * kDim, kWidth}, 0.25);
      if (s_.qkv_bias) Add(stem + "bias", {heads * kDim}, 0.5);
    }
    Add(attention + "o_proj.weight", {kWidth, kHeads * kDim}, 0.2);
    if (s_.qk_norm) {
      AddNorm(attention + "q_norm.weight", kDim);
      AddNorm(attention + "k_norm.weight", kDim);
    }
    AddNorm(p + "input_layernorm.weight", kWidth);
    AddNorm(p + "post_attention_layernorm.weight", kWidth);
    if (s_.post_norms) {
      AddNorm(p + "pre_feedforward_layernorm.weight", kWidth);
      AddNorm(p + "post_feedforward_layernorm.weight", kWidth);
    }
    if (s_.experts == 1) {
      Add(p + "mlp.gate_proj.weight", {kFfn, kWidth}, 0.25);
      Add(p + "mlp.up_proj.weight", {kFfn, kWidth}, 0.25);
      Add(p + "mlp.down_proj.weight", {kWidth, kFfn}, 0.2);
      return;
    }
    Add(p + "block_sparse_moe.gate.weight", {s_.experts, kWidth}, 0.5);
    for (int64_t e = 0; e < s_.experts; ++e) {
      const std::string expert =
          fmt::format("{}block_sparse_moe.experts.{}.", p, e);
      Add(expert + "w1.weight", {kFfn, kWidth}, 0.25);
      Add(expert + "w2.weight", {kWidth, kFfn}, 0.2);
      Add(expert + "w3.weight", {kFfn, kWidth}, 0.25);
    }
  }

  at::Tensor W(const std::string& name) const {
    return tensors_.at(name).to(at::kDouble);
  }
  static at::Tensor Capped(const at::Tensor& x, double cap) {
    return cap > 0 ? (x / cap).tanh() * cap : x;
  }
  at::Tensor Norm(const at::Tensor& x, const std::string& name) const {
    return x * (x.square().mean(-1, true) + 1e-6).rsqrt() *
           (W(name) + s_.norm_offset);
  }

  // By waves in the original length: few are slowed down, many stay, between
  // the two it is a straight line.
  at::Tensor Llama3(const at::Tensor& frequency) const {
    const auto& s = s_.llama3;
    const at::Tensor waves = frequency * (s.original / (2 * std::numbers::pi));
    const at::Tensor kept = ((waves - s.low) / (s.high - s.low)).clamp(0, 1);
    return frequency * (kept + (1 - kept) / s.factor);
  }

  // x [T, H, D], pairs (i, i + D/2).
  at::Tensor Rope(const at::Tensor& x, int64_t layer) const {
    const double slow = s_.slow_down.empty() ? 1 : s_.slow_down[layer];
    const at::Tensor plain =
        at::pow(s_.theta[layer],
                at::arange(0, kDim, 2, at::kDouble) / (-double{kDim})) /
        slow;
    const at::Tensor frequency = s_.llama3.factor > 0 ? Llama3(plain) : plain;
    const at::Tensor angle =
        at::outer(at::arange(x.size(0), at::kDouble), frequency).unsqueeze(1);
    const at::Tensor a = x.narrow(2, 0, kDim / 2);
    const at::Tensor b = x.narrow(2, kDim / 2, kDim / 2);
    return at::cat(
        {a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()},
        2);
  }

  at::Tensor Project(const std::string& stem, const at::Tensor& x) const {
    at::Tensor y = at::mm(x, W(stem + "weight").t());
    if (s_.qkv_bias) y = y + W(stem + "bias");
    return y.view({x.size(0), -1, kDim});
  }

  at::Tensor Attention(int64_t layer, const at::Tensor& x) const {
    const std::string p = fmt::format("model.layers.{}.self_attn.", layer);
    at::Tensor q = Project(p + "q_proj.", x), k = Project(p + "k_proj.", x);
    at::Tensor v = Project(p + "v_proj.", x);
    if (s_.qk_norm) {
      q = Norm(q, p + "q_norm.weight");
      k = Norm(k, p + "k_norm.weight");
    }
    q = Rope(q, layer).transpose(0, 1);
    k = Rope(k, layer).repeat_interleave(kHeads / kKvHeads, 1).transpose(0, 1);
    v = v.repeat_interleave(kHeads / kKvHeads, 1).transpose(0, 1);
    const double scale =
        s_.attention_scale > 0 ? s_.attention_scale : 1 / std::sqrt(kDim);
    const at::Tensor scores =
        Capped(at::bmm(q, k.transpose(1, 2)) * scale, s_.attention_softcap);
    const at::Tensor i = at::arange(x.size(0)).unsqueeze(1);
    const at::Tensor j = at::arange(x.size(0)).unsqueeze(0);
    at::Tensor hidden = j > i;
    const int64_t window = s_.windows[layer];
    if (window > 0) hidden = hidden.logical_or(j <= i - window);
    const at::Tensor o =
        at::bmm(scores.masked_fill(hidden, -INFINITY).softmax(2), v);
    return at::mm(o.transpose(0, 1).reshape({x.size(0), -1}),
                  W(p + "o_proj.weight").t());
  }

  at::Tensor Block(const at::Tensor& x, const std::string& gate,
                   const std::string& up, const std::string& down) const {
    const at::Tensor g = at::mm(x, W(gate).t());
    const at::Tensor y = s_.gate == "silu" ? at::silu(g) : at::gelu(g, "tanh");
    return at::mm(y * at::mm(x, W(up).t()), W(down).t());
  }

  at::Tensor FeedForward(const std::string& p, const at::Tensor& x) const {
    if (s_.experts == 1) {
      return Block(x, p + "mlp.gate_proj.weight", p + "mlp.up_proj.weight",
                   p + "mlp.down_proj.weight");
    }
    const at::Tensor shares =
        at::mm(x, W(p + "block_sparse_moe.gate.weight").t()).softmax(1);
    const auto [top, chosen] = shares.topk(2, 1);
    at::Tensor y = at::zeros_like(x);
    for (int64_t e = 0; e < s_.experts; ++e) {
      const std::string expert =
          fmt::format("{}block_sparse_moe.experts.{}.", p, e);
      const at::Tensor share =
          (top / top.sum(1, true) * (chosen == e)).sum(1, true);
      y = y + share * Block(x, expert + "w1.weight", expert + "w3.weight",
                            expert + "w2.weight");
    }
    return y;
  }

  Synthetic s_;
  at::ScalarType dtype_;
  std::filesystem::path folder_;
  std::map<std::string, at::Tensor> tensors_;
};

inline std::vector<Synthetic> SyntheticFamilies() {
  const std::vector<int64_t> full(4, 0), windows(4, 9);
  const std::vector<double> plain(4, 1e4);
  return {
      {.name = "llama",
       .config = R"("architectures": ["LlamaForCausalLM"],
                    "rope_scaling": {"type": "linear", "factor": 4.0})",
       .windows = full,
       .theta = plain,
       .slow_down = std::vector<double>(4, 4)},
      // Its eight frequencies lie on all three parts of the scaling.
      {.name = "llama3",
       .config = R"("architectures": ["LlamaForCausalLM"],
                    "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
                      "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                      "original_max_position_embeddings": 64})",
       .windows = full,
       .theta = plain,
       .llama3 = {8, 1, 4, 64}},
      {.name = "mistral",
       .config = R"("architectures": ["MistralForCausalLM"],
                    "sliding_window": 9)",
       .windows = windows,
       .theta = plain},
      {.name = "mixtral",
       .config = R"("architectures": ["MixtralForCausalLM"],
                    "num_local_experts": 4, "rope_theta": 1e6)",
       .experts = 4,
       .windows = full,
       .theta = std::vector<double>(4, 1e6)},
      {.name = "gemma2",
       .config = R"("architectures": ["Gemma2ForCausalLM"],
                    "sliding_window": 9, "query_pre_attn_scalar": 24,
                    "attn_logit_softcapping": 2.0,
                    "final_logit_softcapping": 3.0,
                    "hidden_activation": "gelu_pytorch_tanh")",
       .post_norms = true,
       .tied = true,
       .norm_offset = 1,
       .attention_softcap = 2,
       .logit_softcap = 3,
       .attention_scale = 1 / std::sqrt(24.0),
       .embedding_scale = std::sqrt(32.0),
       .gate = "tanh",
       .windows = {9, 0, 9, 0},
       .theta = plain},
      {.name = "gemma3",
       .config = R"("architectures": ["Gemma3ForCausalLM"],
                    "sliding_window": 9, "query_pre_attn_scalar": 16,
                    "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                    "sliding_window_pattern": 3,
                    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                    "hidden_activation": "gelu_pytorch_tanh")",
       .qk_norm = true,
       .post_norms = true,
       .tied = true,
       .norm_offset = 1,
       .embedding_scale = std::sqrt(32.0),
       .gate = "tanh",
       .windows = {9, 9, 0, 9},
       .theta = {1e4, 1e4, 1e6, 1e4},
       .slow_down = {1, 1, 8, 1}},
      {.name = "qwen2",
       .config = R"("architectures": ["Qwen2ForCausalLM"])",
       .qkv_bias = true,
       .windows = full,
       .theta = plain},
      {.name = "qwen3",
       .config = R"("architectures": ["Qwen3ForCausalLM"])",
       .qk_norm = true,
       .windows = full,
       .theta = plain},
  };
}

}  // namespace rattn
