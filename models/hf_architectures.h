// Published architectures as data: what a Hugging Face config.json leaves to
// code, and what the tensors are called. Nothing else knows a family's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

struct HfArchitecture {
  std::string_view name;      // of "architectures" in config.json
  std::string_view config{};  // key of the language model's part; "" = the top

  // Which layers are windows where the config has no "layer_types".
  enum class Windows {
    kNone,
    kAll,           // all of them, if "sliding_window" is a number
    kAlternating,   // even layers
    kAllButEvery,   // all but every "sliding_window_pattern"-th
    kFromMaxLayer,  // with "use_sliding_window", from "max_window_layers" on
  };
  Windows windows = Windows::kNone;
  enum class Biases { kNone, kAttention, kQkv };
  // kAttention: as "attention_bias" says, of q, k, v and the output.
  Biases biases = Biases::kNone;
  bool qk_norm = false;
  bool post_norms = false;
  bool experts = false;
  bool scaled_embedding = false;     // by sqrt(hidden_size)
  double norm_offset = 0;            // added to the norms' stored weights
  bool tied = false;                 // without "tie_word_embeddings"
  double attention_softcap = 0;      // without "attn_logit_softcapping"
  double logit_softcap = 0;          // without "final_logit_softcapping"
  double query_pre_attn_scalar = 0;  // without that key; 0 = head_dim
  double rope_theta = 1e4;           // without "rope_theta"
  double local_rope_theta = 0;       // without "rope_local_base_freq"; 0 = same
};

std::span<const HfArchitecture> HfArchitectures();
// Throws UserError that names `origin` and lists the known ones.
const HfArchitecture& FindHfArchitecture(std::string_view name,
                                         const std::string& origin);

// Tensors that make up parameter `name` (models/torch/weights.h), one behind
// the other along the first axis; for expert matrices expert by expert. Empty
// where checkpoints have none. Names start behind one of HfPrefixes().
std::vector<std::string> HfTensorNames(const HfArchitecture& architecture,
                                       const std::string& name,
                                       int64_t experts);
std::span<const std::string_view> HfPrefixes();

}  // namespace rattn
