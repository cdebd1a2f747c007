#include "models/hf_architectures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdint>

#include "models/error.h"

namespace rattn {
namespace {

using Windows = HfArchitecture::Windows;
using Biases = HfArchitecture::Biases;

constexpr HfArchitecture Gemma3(std::string_view name,
                                std::string_view config) {
  return {.name = name,
          .config = config,
          .windows = Windows::kAllButEvery,
          .biases = Biases::kAttention,
          .qk_norm = true,
          .post_norms = true,
          .scaled_embedding = true,
          .norm_offset = 1,
          .tied = true,
          .query_pre_attn_scalar = 256,
          .rope_theta = 1e6,
          .local_rope_theta = 1e4};
}

constexpr std::array kArchitectures = {
    HfArchitecture{.name = "LlamaForCausalLM", .biases = Biases::kAttention},
    HfArchitecture{.name = "MistralForCausalLM", .windows = Windows::kAll},
    HfArchitecture{.name = "MixtralForCausalLM",
                   .windows = Windows::kAll,
                   .experts = true,
                   .rope_theta = 1e6},
    HfArchitecture{.name = "Gemma2ForCausalLM",
                   .windows = Windows::kAlternating,
                   .biases = Biases::kAttention,
                   .post_norms = true,
                   .scaled_embedding = true,
                   .norm_offset = 1,
                   .tied = true,
                   .attention_softcap = 50,
                   .logit_softcap = 30,
                   .query_pre_attn_scalar = 256},
    Gemma3("Gemma3ForCausalLM", ""),
    Gemma3("Gemma3ForConditionalGeneration", "text_config"),
    HfArchitecture{.name = "Qwen2ForCausalLM",
                   .windows = Windows::kFromMaxLayer,
                   .biases = Biases::kQkv},
    HfArchitecture{.name = "Qwen3ForCausalLM",
                   .windows = Windows::kFromMaxLayer,
                   .biases = Biases::kAttention,
                   .qk_norm = true},
};

// Where the two differ, architectures with norms behind their blocks have
// their own names.
struct NameRule {
  std::string_view ours;  // without "layers.N."
  std::vector<std::string_view> theirs;
  enum class With { kAny, kPostNorms, kNoPostNorms } with = With::kAny;
};
using With = NameRule::With;

const std::vector<NameRule>& LayerRules() {
  static const std::vector<NameRule> rules = {
      {"attention_norm", {"input_layernorm.weight"}},
      {"qkv",
       {"self_attn.q_proj.weight", "self_attn.k_proj.weight",
        "self_attn.v_proj.weight"}},
      {"qkv_bias",
       {"self_attn.q_proj.bias", "self_attn.k_proj.bias",
        "self_attn.v_proj.bias"}},
      {"q_norm", {"self_attn.q_norm.weight"}},
      {"k_norm", {"self_attn.k_norm.weight"}},
      {"attention_out", {"self_attn.o_proj.weight"}},
      {"attention_out_bias", {"self_attn.o_proj.bias"}},
      {"attention_post_norm",
       {"post_attention_layernorm.weight"},
       With::kPostNorms},
      {"ffn_norm", {"pre_feedforward_layernorm.weight"}, With::kPostNorms},
      {"ffn_norm", {"post_attention_layernorm.weight"}, With::kNoPostNorms},
      {"ffn_post_norm", {"post_feedforward_layernorm.weight"}},
      {"gate_up", {"mlp.gate_proj.weight", "mlp.up_proj.weight"}},
      {"down", {"mlp.down_proj.weight"}},
      {"router", {"block_sparse_moe.gate.weight"}},
  };
  return rules;
}

const std::vector<NameRule>& ExpertRules() {
  static const std::vector<NameRule> rules = {
      {"gate_up", {"w1.weight", "w3.weight"}},
      {"down", {"w2.weight"}},
  };
  return rules;
}

const NameRule* FindRule(const std::vector<NameRule>& rules,
                         std::string_view name, bool post_norms) {
  for (const NameRule& rule : rules) {
    if (rule.ours != name) continue;
    if (rule.with == With::kAny ||
        (rule.with == With::kPostNorms) == post_norms) {
      return &rule;
    }
  }
  return nullptr;
}

constexpr std::string_view kLayers = "layers.";

std::vector<std::string> LayerTensorNames(const HfArchitecture& architecture,
                                          std::string_view name,
                                          int64_t experts) {
  const size_t dot = name.find('.', kLayers.size());
  const std::string_view layer = name.substr(0, dot + 1);  // "layers.3."
  const std::string_view ours = name.substr(dot + 1);
  std::vector<std::string> names;
  const NameRule* expert =
      experts > 1 ? FindRule(ExpertRules(), ours, false) : nullptr;
  if (expert != nullptr) {
    for (int64_t e = 0; e < experts; ++e) {
      for (const std::string_view theirs : expert->theirs) {
        names.push_back(
            fmt::format("{}block_sparse_moe.experts.{}.{}", layer, e, theirs));
      }
    }
    return names;
  }
  const NameRule* rule = FindRule(LayerRules(), ours, architecture.post_norms);
  if (rule == nullptr) return names;
  for (const std::string_view theirs : rule->theirs) {
    names.push_back(fmt::format("{}{}", layer, theirs));
  }
  return names;
}

constexpr std::array<std::string_view, 3> kPrefixes = {
    "model.", "language_model.model.", "model.language_model."};

}  // namespace

std::span<const HfArchitecture> HfArchitectures() { return kArchitectures; }

const HfArchitecture& FindHfArchitecture(std::string_view name,
                                         const std::string& origin) {
  std::vector<std::string_view> known;
  for (const HfArchitecture& architecture : kArchitectures) {
    if (architecture.name == name) return architecture;
    known.push_back(architecture.name);
  }
  throw UserError(
      fmt::format("{}: unknown architecture \"{}\"; this program knows {}",
                  origin, name, fmt::join(known, ", ")));
}

std::vector<std::string> HfTensorNames(const HfArchitecture& architecture,
                                       const std::string& name,
                                       int64_t experts) {
  if (name == "embedding") return {"embed_tokens.weight"};
  if (name == "final_norm") return {"norm.weight"};
  if (name == "head") return {"lm_head.weight"};
  if (name.compare(0, kLayers.size(), kLayers) != 0) return {};
  return LayerTensorNames(architecture, name, experts);
}

std::span<const std::string_view> HfPrefixes() { return kPrefixes; }

}  // namespace rattn
