// A local-global transformer as data. One struct serves the models trained
// here and the published ones that `memory` and `roofline` describe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/catalog.h"
#include "kernels/problem.h"
#include "kernels/rope_scaling.h"

namespace rattn {

// As data what kernels/rope_scaling.h computes.
struct RopeScalingConfig {
  std::string kind = "none";  // "linear" or "llama3"
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_length = 8192;
  bool operator==(const RopeScalingConfig&) const = default;
};

// The mixer of a kind of layer: a catalog variant with parameters.
struct MixerConfig {
  std::string variant = "full";
  int64_t window_keys = 0;  // 0 where the variant takes no window
  int64_t sinks = -1;       // -1 = catalog value
  bool rope = false;
  double rope_theta = 1e4;
  std::string rope_layout = "half_split";  // or "interleaved"
  RopeScalingConfig rope_scaling;
  bool operator==(const MixerConfig&) const = default;
};

struct ModelConfig {
  std::string name;
  std::string source;  // where the figures come from
  int64_t vocab_size = 0;
  int64_t d_model = 0;
  int64_t layers = 0;
  // Layer kinds, repeated over the layers: "local" or "global".
  std::vector<std::string> pattern = {"global"};
  int64_t query_heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_dim = 0;
  // "swiglu", "geglu" (tanh form) or "geglu_erf".
  std::string ffn = "swiglu";
  // Mixture of experts: feed-forward blocks per layer and those used per token.
  int64_t experts = 1;
  int64_t active_experts = 1;
  MixerConfig local;
  MixerConfig global;
  // "none", "before_rope" (both branches see normed q, k) or
  // "local_after_rope" (axlearn as coded: the window branch only).
  std::string qk_norm = "none";
  // Learned scales of the memory branch's q and k start here; 0 = no scales.
  double memory_qk_scale = 0;
  double norm_eps = 1e-6;
  double init_std = 0.02;
  double embedding_std = 0;  // 0 = init_std
  bool tied_embeddings = true;
  // Adds a second embedding of the previous token to the input.
  bool token_shift = false;
  // Norms of both blocks' outputs, ahead of the residual sum (Gemma 2).
  bool post_norms = false;
  bool qkv_bias = false;
  bool attention_out_bias = false;
  double embedding_scale = 1;    // of the embeddings at the input
  double attention_scale = 0;    // of the scores; 0 = 1/sqrt(head_dim)
  double attention_softcap = 0;  // c: scores become c tanh(s / c); 0 = none
  double logit_softcap = 0;      // the same of the logits
  int64_t max_length = 0;        // positions it was made for; 0 = not said
};

// Layer `index`'s kind is local / its mixer.
bool IsLocalLayer(const ModelConfig& config, int64_t index);
const MixerConfig& LayerMixer(const ModelConfig& config, int64_t index);

// Kernel problem of one layer (batch and lengths are the caller's). Throws
// UserError for a variant or value that does not exist.
Problem LayerProblem(const ModelConfig& config, int64_t index);

// Whether a layer of this mixer has norms of its queries and keys.
bool NormsQueriesAndKeys(const ModelConfig& config, const MixerSpec& spec);

// Parameters: all of them, those used per token, and those of embeddings.
struct ParameterCount {
  int64_t total = 0;
  int64_t active = 0;
  int64_t embedding = 0;
};
ParameterCount CountParameters(const ModelConfig& config);

// From JSON text (unknown keys, missing keys and impossible shapes are
// UserErrors that name the key, and the nearest known one), from a file, or by
// the name of a file in configs/models.
ModelConfig ParseModelConfig(const std::string& json_text,
                             const std::string& origin);
ModelConfig LoadModelConfig(const std::string& name_or_path);
std::string ToJson(const ModelConfig& config);

}  // namespace rattn
