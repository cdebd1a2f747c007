#include "models/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

using Windows = HfArchitecture::Windows;
using Biases = HfArchitecture::Biases;

// Values of a config.json, which has many keys that do not matter here. A key
// whose value is null counts as absent.
class Values {
 public:
  Values(const Json& json, std::string origin)
      : json_(json), origin_(std::move(origin)) {
    if (!json.is_object()) Fail("is not a JSON object");
  }

  template <typename T>
  T Get(const char* key) const {
    const Json* value = Find(key);
    if (value == nullptr) Fail(fmt::format("key \"{}\" is missing", key));
    T read{};
    json_fields::Read(origin_, key, *value, &read);
    return read;
  }
  template <typename T>
  T Get(const char* key, T otherwise) const {
    return Find(key) == nullptr ? otherwise : Get<T>(key);
  }
  const Json* Find(const char* key) const {
    const auto at = json_.find(key);
    return at == json_.end() || at->is_null() ? nullptr : &*at;
  }
  bool IsNull(const char* key) const {
    const auto at = json_.find(key);
    return at != json_.end() && at->is_null();
  }
  Values Inside(const char* key) const {
    return {*Find(key), origin_ + ": " + key};
  }
  [[noreturn]] void Fail(const std::string& what) const {
    throw UserError(origin_ + ": " + what);
  }
  const std::string& origin() const { return origin_; }

 private:
  const Json& json_;
  std::string origin_;
};

std::string FeedForward(const Values& values) {
  const std::string activation = values.Get<std::string>(
      "hidden_activation", values.Get<std::string>("hidden_act", "silu"));
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4>
      kKnown = {{{"silu", "swiglu"},
                 {"gelu_pytorch_tanh", "geglu"},
                 {"gelu_new", "geglu"},
                 {"gelu", "geglu_erf"}}};
  for (const auto& [theirs, ours] : kKnown) {
    if (activation == theirs) return std::string(ours);
  }
  values.Fail(
      fmt::format("\"hidden_act\" {} is not one of silu, gelu_new, "
                  "gelu_pytorch_tanh and gelu",
                  activation));
}

struct ScalingKind {
  std::string_view name;
  bool bands;  // tells waves apart by their length
};
constexpr std::array kScalingKinds = {ScalingKind{"linear", false},
                                      ScalingKind{"llama3", true}};

RopeScalingConfig Scaling(const Values& values) {
  const std::string kind = values.Get<std::string>(
      "rope_type", values.Get<std::string>("type", "default"));
  RopeScalingConfig scaling;
  if (kind == "default") return scaling;
  const auto* const known =
      std::find_if(kScalingKinds.begin(), kScalingKinds.end(),
                   [&](const ScalingKind& one) { return one.name == kind; });
  if (known == kScalingKinds.end()) {
    values.Fail(fmt::format(
        "rope type \"{}\" is not one of default, linear and llama3", kind));
  }
  scaling.kind = kind;
  scaling.factor = values.Get<double>("factor");
  if (!known->bands) return scaling;
  scaling.low_frequency_factor = values.Get<double>("low_freq_factor");
  scaling.high_frequency_factor = values.Get<double>("high_freq_factor");
  scaling.original_length =
      values.Get<double>("original_max_position_embeddings");
  return scaling;
}

// Positions of one kind of layers from an object that has its own base.
void ReadRope(const Values& values, MixerConfig* mixer) {
  mixer->rope_theta = values.Get<double>("rope_theta", mixer->rope_theta);
  mixer->rope_scaling = Scaling(values);
}

void ReadPositions(const Values& values, const HfArchitecture& architecture,
                   ModelConfig* config) {
  MixerConfig &local = config->local, &global = config->global;
  local.rope = global.rope = true;
  global.rope_theta = values.Get<double>("rope_theta", architecture.rope_theta);
  local.rope_theta = global.rope_theta;
  if (values.Find("rope_scaling") != nullptr) {
    global.rope_scaling = Scaling(values.Inside("rope_scaling"));
    local.rope_scaling = global.rope_scaling;
  }
  if (architecture.local_rope_theta > 0) {
    local.rope_theta = values.Get<double>("rope_local_base_freq",
                                          architecture.local_rope_theta);
    local.rope_scaling = {};
  }
  // Later versions of the library write everything into one object, of one
  // kind of layers or of each.
  if (values.Find("rope_parameters") == nullptr) return;
  const Values rope = values.Inside("rope_parameters");
  const bool each = rope.Find("full_attention") != nullptr;
  ReadRope(each ? rope.Inside("full_attention") : rope, &global);
  if (!each) {
    ReadRope(rope, &local);
  } else if (rope.Find("sliding_attention") != nullptr) {
    ReadRope(rope.Inside("sliding_attention"), &local);
  }
}

std::vector<std::string> Pattern(const Values& values,
                                 const HfArchitecture& architecture,
                                 int64_t layers) {
  std::vector<std::string> pattern;
  if (values.Find("layer_types") != nullptr) {
    for (const auto& type :
         values.Get<std::vector<std::string>>("layer_types")) {
      if (type != "sliding_attention" && type != "full_attention") {
        values.Fail(
            fmt::format("layer type \"{}\" is not one of "
                        "sliding_attention and full_attention",
                        type));
      }
      pattern.push_back(type == "sliding_attention" ? "local" : "global");
    }
    if (static_cast<int64_t>(pattern.size()) != layers) {
      values.Fail(fmt::format("\"layer_types\" has {} entries for {} layers",
                              pattern.size(), layers));
    }
    return pattern;
  }
  const bool windowed = values.Find("sliding_window") != nullptr &&
                        values.Get<bool>("use_sliding_window", true);
  const int64_t period = values.Get<int64_t>("sliding_window_pattern", 6);
  const int64_t first = values.Get<int64_t>("max_window_layers", 28);
  const auto is_local = [&](int64_t i) {
    switch (architecture.windows) {
      case Windows::kNone:
        return false;
      case Windows::kAll:
        return windowed;
      case Windows::kAlternating:
        return windowed && i % 2 == 0;
      case Windows::kAllButEvery:
        return windowed && (period < 1 || (i + 1) % period != 0);
      case Windows::kFromMaxLayer:
        return windowed && values.Get<bool>("use_sliding_window", false) &&
               i >= first;
    }
    return false;
  };
  for (int64_t i = 0; i < layers; ++i) {
    pattern.push_back(is_local(i) ? "local" : "global");
  }
  return pattern;
}

// The shortest beginning whose repetition gives the list.
std::vector<std::string> ShortestPeriod(const std::vector<std::string>& list) {
  for (size_t period = 1; period < list.size(); ++period) {
    bool repeats = true;
    for (size_t i = period; i < list.size() && repeats; ++i) {
      repeats = list[i] == list[i - period];
    }
    if (repeats) return {list.begin(), list.begin() + period};
  }
  return list;
}

void ReadMixers(const Values& values, const HfArchitecture& architecture,
                ModelConfig* config) {
  if (config->layers < 1 || config->layers > 1 << 14) {
    values.Fail(
        fmt::format("\"num_hidden_layers\" cannot be {}", config->layers));
  }
  config->pattern =
      ShortestPeriod(Pattern(values, architecture, config->layers));
  config->local.variant = "swa";
  config->local.window_keys = values.Get<int64_t>("sliding_window", 1);
  config->global.variant = "full";
  ReadPositions(values, architecture, config);
}

void ReadBiases(const Values& values, const HfArchitecture& architecture,
                ModelConfig* config) {
  if (values.Get<bool>("mlp_bias", false)) {
    values.Fail("\"mlp_bias\" is true, which this program does not have");
  }
  const bool all = architecture.biases == Biases::kAttention &&
                   values.Get<bool>("attention_bias", false);
  config->qkv_bias = all || architecture.biases == Biases::kQkv;
  config->attention_out_bias = all;
}

void ReadScales(const Values& values, const HfArchitecture& architecture,
                ModelConfig* config) {
  if (architecture.scaled_embedding) {
    config->embedding_scale = std::sqrt(static_cast<double>(config->d_model));
  }
  if (architecture.query_pre_attn_scalar > 0) {
    config->attention_scale =
        1 / std::sqrt(values.Get<double>("query_pre_attn_scalar",
                                         architecture.query_pre_attn_scalar));
  }
  // Here null means that there is none.
  const auto cap = [&](const char* key, double otherwise) {
    const bool has_key = values.Find(key) != nullptr || values.IsNull(key);
    return has_key ? values.Get<double>(key, 0.0) : otherwise;
  };
  config->attention_softcap =
      cap("attn_logit_softcapping", architecture.attention_softcap);
  config->logit_softcap =
      cap("final_logit_softcapping", architecture.logit_softcap);
}

ModelConfig ReadConfig(const Values& values, const HfArchitecture& architecture,
                       const std::string& name) {
  ModelConfig config;
  config.name = name;
  config.source = fmt::format("{}, {}", values.origin(), architecture.name);
  config.vocab_size = values.Get<int64_t>("vocab_size");
  config.d_model = values.Get<int64_t>("hidden_size");
  config.layers = values.Get<int64_t>("num_hidden_layers");
  config.query_heads = values.Get<int64_t>("num_attention_heads");
  if (config.query_heads < 1) values.Fail("\"num_attention_heads\" is below 1");
  config.kv_heads =
      values.Get<int64_t>("num_key_value_heads", config.query_heads);
  config.head_dim =
      values.Get<int64_t>("head_dim", config.d_model / config.query_heads);
  config.ffn_dim = values.Get<int64_t>("intermediate_size");
  config.ffn = FeedForward(values);
  if (architecture.experts) {
    config.experts = values.Get<int64_t>("num_local_experts", 8);
    config.active_experts = values.Get<int64_t>("num_experts_per_tok", 2);
  }
  config.norm_eps = values.Get<double>("rms_norm_eps", 1e-6);
  config.tied_embeddings =
      values.Get<bool>("tie_word_embeddings", architecture.tied);
  config.max_length = values.Get<int64_t>("max_position_embeddings", 0);
  config.qk_norm = architecture.qk_norm ? "before_rope" : "none";
  config.post_norms = architecture.post_norms;
  ReadMixers(values, architecture, &config);
  ReadBiases(values, architecture, &config);
  ReadScales(values, architecture, &config);
  return config;
}

}  // namespace

HfModel ParseHfConfig(const std::string& json_text, const std::string& origin,
                      const std::string& name) {
  const Json json = ParseJsonText(json_text, origin);
  const Values top(json, origin);
  const auto names = top.Get<std::vector<std::string>>("architectures");
  if (names.empty()) top.Fail("\"architectures\" is an empty list");
  const HfArchitecture& architecture = FindHfArchitecture(names[0], origin);
  const std::string part(architecture.config);
  if (!part.empty() && top.Find(part.c_str()) == nullptr) {
    top.Fail(fmt::format("key \"{}\" is missing", part));
  }
  const Values values = part.empty() ? top : top.Inside(part.c_str());
  const ModelConfig config = ReadConfig(values, architecture, name);
  // Read back, so that all rules of model configs hold.
  return {ParseModelConfig(ToJson(config), origin), &architecture};
}

HfModel LoadHfConfig(const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path path = fs::path(folder) / "config.json";
  std::string name = fs::path(folder).lexically_normal().filename().string();
  if (name.empty() || name == ".") name = "model";
  return ParseHfConfig(ReadTextFile(path.string()), path.string(), name);
}

}  // namespace rattn
