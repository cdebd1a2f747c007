#include "models/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "kernels/catalog.h"
#include "kernels/nearest_name.h"
#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"
#include "models/model_fields.h"

namespace rattn {
namespace {

constexpr int64_t kMaxWindow = int64_t{1} << 40;
constexpr std::array<std::pair<std::string_view, RopeScalingKind>, 3>
    kScalingKinds = {{{"none", RopeScalingKind::kNone},
                      {"linear", RopeScalingKind::kLinear},
                      {"llama3", RopeScalingKind::kLlama3}}};

// Checks of one config; every message begins with its name.
class Checker {
 public:
  explicit Checker(const std::string& origin) : origin_(origin) {}

  void Range(const char* key, int64_t value, int64_t least,
             int64_t most) const {
    if (value < least || value > most) {
      throw UserError(fmt::format("{}: \"{}\" must be from {} to {}, not {}",
                                  origin_, key, least, most, value));
    }
  }
  void OneOf(const std::string& key, const std::string& value,
             const std::vector<std::string>& known) const {
    if (std::find(known.begin(), known.end(), value) == known.end()) {
      throw UserError(fmt::format("{}: \"{}\" cannot be \"{}\"{}", origin_, key,
                                  value, NearestHint(value, known)));
    }
  }
  void Holds(bool holds, const std::string& otherwise) const {
    if (!holds) throw UserError(fmt::format("{}: {}", origin_, otherwise));
  }

 private:
  const std::string& origin_;
};

std::vector<std::string> VariantNames() {
  std::vector<std::string> names;
  for (const Variant& variant : Catalog()) names.emplace_back(variant.name);
  return names;
}

MixerSpec SpecOf(const MixerConfig& mixer, const std::string& origin,
                 const std::string& kind) {
  const Variant* variant = FindVariant(mixer.variant);
  if (variant == nullptr) {
    throw UserError(fmt::format("{}: unknown variant \"{}\" of the {} layers{}",
                                origin, mixer.variant, kind,
                                NearestHint(mixer.variant, VariantNames())));
  }
  MixerSpec spec;
  std::string reason;
  if (!MakeSpec(*variant, {mixer.window_keys, mixer.sinks}, &spec, &reason)) {
    throw UserError(fmt::format("{}: {} of the {} layers: {}", origin,
                                mixer.variant, kind, reason));
  }
  return spec;
}

void CheckScaling(const Checker& check, const RopeScalingConfig& scaling,
                  const std::string& key) {
  std::vector<std::string> kinds;
  for (const auto& [name, kind] : kScalingKinds) kinds.emplace_back(name);
  check.OneOf(key + ".kind", scaling.kind, kinds);
  check.Holds(scaling.factor > 0, key + ".factor must be above 0");
  check.Holds(scaling.original_length > 0,
              key + ".original_length must be above 0");
  check.Holds(scaling.low_frequency_factor > 0 &&
                  scaling.high_frequency_factor > scaling.low_frequency_factor,
              key +
                  ".high_frequency_factor must be above "
                  "low_frequency_factor, and both above 0");
}

void CheckMixer(const Checker& check, const ModelConfig& config,
                const MixerConfig& mixer, const std::string& kind,
                const std::string& origin) {
  const std::string window = kind + ".window_keys";
  check.Range(window.c_str(), mixer.window_keys, 0, kMaxWindow);
  check.Range((kind + ".sinks").c_str(), mixer.sinks, -1, kMaxWindow);
  check.OneOf(kind + ".rope_layout", mixer.rope_layout,
              {"half_split", "interleaved"});
  check.Holds(mixer.rope_theta > 0, kind + ".rope_theta must be above 0");
  CheckScaling(check, mixer.rope_scaling, kind + ".rope_scaling");
  if (std::find(config.pattern.begin(), config.pattern.end(), kind) !=
      config.pattern.end()) {
    SpecOf(mixer, origin, kind);
  }
}

// An upper bound of the weights, so that no count of them leaves 64 bits.
double MostWeights(const ModelConfig& c) {
  const double attention = 4.0 * c.query_heads * c.head_dim;
  const double feed_forward = 3.0 * c.experts * c.ffn_dim;
  return c.layers * c.d_model * (attention + feed_forward);
}

void CheckConfig(const ModelConfig& c, const std::string& origin) {
  const Checker check(origin);
  check.Holds(!c.name.empty(), "\"name\" is empty");
  // Bounds far above any model.
  check.Range("vocab_size", c.vocab_size, 0, 1 << 26);
  check.Range("d_model", c.d_model, 1, 1 << 20);
  check.Range("layers", c.layers, 1, 1 << 14);
  check.Range("query_heads", c.query_heads, 1, 1 << 14);
  check.Range("kv_heads", c.kv_heads, 1, 1 << 14);
  check.Range("head_dim", c.head_dim, 8, 1 << 14);
  check.Range("ffn_dim", c.ffn_dim, 1, 1 << 22);
  check.Range("experts", c.experts, 1, 1 << 14);
  check.Range("active_experts", c.active_experts, 1, c.experts);
  check.Holds(
      c.head_dim % 8 == 0,
      fmt::format("\"head_dim\" must be a multiple of 8, not {}", c.head_dim));
  check.Holds(c.query_heads % c.kv_heads == 0,
              fmt::format("\"kv_heads\" ({}) must divide \"query_heads\" ({})",
                          c.kv_heads, c.query_heads));
  check.Holds(MostWeights(c) < 0x1p60, "more than 2^60 weights");
  check.Holds(!c.pattern.empty(), "\"pattern\" is an empty list");
  for (const std::string& kind : c.pattern) {
    check.OneOf("pattern", kind, {"local", "global"});
  }
  check.OneOf("ffn", c.ffn, {"swiglu", "geglu", "geglu_erf"});
  check.OneOf("qk_norm", c.qk_norm,
              {"none", "before_rope", "local_after_rope"});
  check.Holds(c.norm_eps > 0, "\"norm_eps\" must be above 0");
  check.Holds(c.init_std > 0, "\"init_std\" must be above 0");
  check.Holds(c.embedding_std >= 0, "\"embedding_std\" must not be negative");
  check.Holds(c.memory_qk_scale >= 0,
              "\"memory_qk_scale\" must not be negative");
  check.Range("max_length", c.max_length, 0, int64_t{1} << 40);
  check.Holds(std::isfinite(c.embedding_scale) && c.embedding_scale != 0,
              "\"embedding_scale\" must not be 0");
  for (const auto& [key, value] :
       {std::pair{"attention_scale", c.attention_scale},
        std::pair{"attention_softcap", c.attention_softcap},
        std::pair{"logit_softcap", c.logit_softcap}}) {
    check.Holds(std::isfinite(value) && value >= 0,
                fmt::format("\"{}\" must not be negative", key));
  }
  CheckMixer(check, c, c.local, "local", origin);
  CheckMixer(check, c, c.global, "global", origin);
}

// A layer kind in use has to say what it is.
void CheckKindsPresent(const Json& json, const ModelConfig& config,
                       const std::string& origin) {
  for (const std::string& kind : config.pattern) {
    Checker(origin).Holds(
        json.contains(kind),
        fmt::format("key \"{0}\" is missing: the pattern has {0} layers",
                    kind));
  }
}

RopeScaling ScalingOf(const RopeScalingConfig& config) {
  RopeScaling scaling{RopeScalingKind::kNone, config.factor,
                      config.low_frequency_factor, config.high_frequency_factor,
                      config.original_length};
  for (const auto& [name, kind] : kScalingKinds) {
    if (config.kind == name) scaling.kind = kind;
  }
  return scaling;
}

// Norm scales of a mixer: one [query_heads, head_dim] per normed branch.
int64_t MixerParameters(const ModelConfig& c, const MixerSpec& spec) {
  int64_t count = 0;
  if (UsesNorms(spec)) {
    count += (HasLocal(spec) + HasMemory(spec)) * c.query_heads * c.head_dim;
  }
  if (HasMemory(spec) && c.memory_qk_scale > 0) count += 2 * c.head_dim;
  return count;
}

}  // namespace

bool IsLocalLayer(const ModelConfig& config, int64_t index) {
  return config.pattern[index % config.pattern.size()] == "local";
}

const MixerConfig& LayerMixer(const ModelConfig& config, int64_t index) {
  return IsLocalLayer(config, index) ? config.local : config.global;
}

Problem LayerProblem(const ModelConfig& config, int64_t index) {
  const MixerConfig& mixer = LayerMixer(config, index);
  Problem problem;
  problem.spec = SpecOf(mixer, config.name,
                        IsLocalLayer(config, index) ? "local" : "global");
  problem.shape.query_heads = config.query_heads;
  problem.shape.kv_heads = config.kv_heads;
  problem.shape.head_dim = config.head_dim;
  problem.shape.value_dim = config.head_dim;
  problem.positions.rope = mixer.rope;
  problem.positions.theta = mixer.rope_theta;
  problem.positions.layout = mixer.rope_layout == "interleaved"
                                 ? RopeLayout::kInterleaved
                                 : RopeLayout::kHalfSplit;
  problem.positions.scaling = ScalingOf(mixer.rope_scaling);
  problem.local_scale = config.attention_scale;
  problem.local_softcap = config.attention_softcap;
  return problem;
}

bool NormsQueriesAndKeys(const ModelConfig& config, const MixerSpec& spec) {
  return config.qk_norm == "before_rope" ||
         (config.qk_norm == "local_after_rope" && HasLocal(spec));
}

ParameterCount CountParameters(const ModelConfig& c) {
  const int64_t qkv_width = c.head_dim * (c.query_heads + 2 * c.kv_heads);
  const int64_t attention =
      c.d_model * (qkv_width + c.query_heads * c.head_dim) +
      (c.qkv_bias ? qkv_width : 0) + (c.attention_out_bias ? c.d_model : 0);
  const int64_t norms = (c.post_norms ? 4 : 2) * c.d_model;
  const int64_t expert = 3 * c.d_model * c.ffn_dim;
  const int64_t router = c.experts > 1 ? c.experts * c.d_model : 0;

  ParameterCount count;
  const int64_t table = c.vocab_size * c.d_model;
  count.embedding =
      table * (1 + (c.tied_embeddings ? 0 : 1) + (c.token_shift ? 1 : 0));
  int64_t body = c.d_model;  // final norm
  for (int64_t i = 0; i < c.layers; ++i) {
    const MixerSpec spec = LayerProblem(c, i).spec;
    const int64_t qk_norms = NormsQueriesAndKeys(c, spec) ? 2 * c.head_dim : 0;
    body += attention + router + norms + qk_norms + MixerParameters(c, spec);
  }
  count.total = count.embedding + body + c.layers * c.experts * expert;
  count.active = count.embedding + body + c.layers * c.active_experts * expert;
  return count;
}

ModelConfig ParseModelConfig(const std::string& json_text,
                             const std::string& origin) {
  const Json json = ParseJsonText(json_text, origin);
  const auto config = ParseFields<ModelConfig>(json, origin);
  CheckConfig(config, origin);
  CheckKindsPresent(json, config, origin);
  return config;
}

ModelConfig LoadModelConfig(const std::string& name_or_path) {
  const std::string path = FindConfig("models", name_or_path);
  return ParseModelConfig(ReadTextFile(path), path);
}

std::string ToJson(const ModelConfig& config) {
  return PrintFields(config).dump(2) + "\n";
}

}  // namespace rattn
