#include "harness/kind_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "harness/hash.h"
#include "harness/mixer_fields.h"
#include "kernels/backend.h"
#include "kernels/catalog.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {
namespace {

// A plan asks for the same few models again and again.
const ModelConfig& LoadOnce(const std::string& name) {
  static std::map<std::string, ModelConfig> loaded;
  auto it = loaded.find(name);
  if (it == loaded.end()) {
    it = loaded.emplace(name, LoadModelConfig(name)).first;
  }
  return it->second;
}

char Letter(const std::string& layer) { return layer == "local" ? 'L' : 'G'; }

std::string PatternOf(const ModelConfig& config) {
  std::string pattern;
  for (const std::string& layer : config.pattern) pattern += Letter(layer);
  return pattern;
}

bool HasLocalLayers(const ModelConfig& config) {
  for (int64_t i = 0; i < config.layers; ++i) {
    if (IsLocalLayer(config, i)) return true;
  }
  return false;
}

}  // namespace

Fields MixerFields(const Json& variant, const Json& window_keys) {
  const bool optional = variant.is_null();
  return {{"variant", FieldType::kText, variant, true, optional,
           "variant of the catalog"},
          {"window_keys", FieldType::kNatural, window_keys, true, true,
           "keys a query sees, itself included"},
          {"sinks", FieldType::kNatural, nullptr, true, true,
           "leading keys that stay visible"}};
}

Fields ModelFields() {
  return Join({{{"model", FieldType::kText, nullptr, true, false,
                 "model config: a name in configs/models, or a file"},
                {"pattern", FieldType::kPattern, nullptr, true, true,
                 "kinds of layers, repeated; null = the model's"}},
               MixerFields(nullptr, nullptr)});
}

void CheckNamed(const Json& values, const std::string& key,
                const std::vector<std::string>& known,
                const std::string& origin) {
  const std::string name = values.at(key);
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  throw UserError(fmt::format("{}: unknown {} '{}'{}", origin, key, name,
                              NearestHint(name, known)));
}

void CheckThreads(const Json& values, const std::string& origin) {
  if (values.at("threads") <= kMostThreads) return;
  throw UserError(
      fmt::format("{}: threads must be {} or fewer", origin, kMostThreads));
}

std::vector<std::string> BackendNames(bool with_aten) {
  std::vector<std::string> names;
  for (const BackendEntry& entry : BackendList()) {
    names.emplace_back(entry.name);
  }
  if (with_aten) names.emplace_back("aten");
  return names;
}

bool RunsOnDevice(const std::string& backend) {
  for (const BackendEntry& entry : BackendList()) {
    if (entry.name == backend) return entry.on_device;
  }
  return false;
}

Dtype ParseDtype(const std::string& name) {
  for (const Dtype dtype : {Dtype::kF64, Dtype::kF32, Dtype::kBF16}) {
    if (Name(dtype) == name) return dtype;
  }
  throw UserError(fmt::format("unknown dtype '{}'{}", name,
                              NearestHint(name, {"fp64", "fp32", "bf16"})));
}

namespace {

// `config` with its pattern and local mixer replaced where `values` name them.
ModelConfig Changed(ModelConfig config, const Json& values,
                    const std::string& origin) {
  if (const Json& pattern = values.at("pattern"); !pattern.is_null()) {
    config.pattern.clear();
    for (const char letter : pattern.get<std::string>()) {
      config.pattern.push_back(letter == 'L' ? "local" : "global");
    }
  }
  if (const Json& variant = values.at("variant"); !variant.is_null()) {
    GetVariant(variant, origin);
    config.local.variant = variant;
    config.local.window_keys = IntegerOr(values.at("window_keys"), 0);
    config.local.sinks = IntegerOr(values.at("sinks"), -1);
  }
  return config;
}

void RefuseLocalMixer(const ModelConfig& config, const Json& values,
                      const std::string& origin) {
  if (values["variant"].is_null()) return;
  throw UserError(fmt::format(
      "{}: model {} with pattern {} has no local layer for variant {}", origin,
      config.name, PatternOf(config), values["variant"].get<std::string>()));
}

void TakeLocalMixer(const MixerConfig& local, Json& values) {
  if (!values["variant"].is_null()) return;
  values["variant"] = local.variant;
  if (values["window_keys"].is_null() && local.window_keys > 0) {
    values["window_keys"] = local.window_keys;
  }
  if (values["sinks"].is_null() && local.sinks >= 0) {
    values["sinks"] = local.sinks;
  }
}

}  // namespace

ModelConfig ModelOf(const Json& values, const std::string& origin) {
  return Changed(LoadOnce(values.at("model")), values, origin);
}

void DescribeModel(const ModelConfig& given, Json& values,
                   const std::string& origin) {
  ModelConfig config = Changed(given, values, origin);
  if (HasLocalLayers(config)) {
    TakeLocalMixer(config.local, values);
    NormalizeMixer(values, origin);
    config = Changed(given, values, origin);
  } else {
    values["variant"] = values["window_keys"] = values["sinks"] = nullptr;
  }
  values["pattern"] = PatternOf(config);
  // Name and source are words about the model, not figures of it.
  Json figures = Json::parse(ToJson(config));
  figures.erase("name");
  figures.erase("source");
  values["model_hash"] = HashJson(figures).substr(0, 16);
}

void NormalizeModel(Json& values, const std::string& origin) {
  const ModelConfig& model = LoadOnce(values.at("model"));
  const ModelConfig config = Changed(model, values, origin);
  if (!HasLocalLayers(config)) RefuseLocalMixer(config, values, origin);
  DescribeModel(model, values, origin);
}

}  // namespace rattn
