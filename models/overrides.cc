#include "models/overrides.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/catalog.h"
#include "models/error.h"

namespace rattn {
namespace {

void Override(MixerConfig& mixer, const MixerOverrides& overrides) {
  const Variant* current = FindVariant(mixer.variant);
  const bool takes_window = current != nullptr && current->takes_window;
  if (!overrides.variant.empty()) {
    mixer.variant = overrides.variant;
    const Variant* next = FindVariant(mixer.variant);
    if (next != nullptr && !next->takes_window) mixer.window_keys = 0;
    mixer.sinks = -1;
  } else if (overrides.window_keys != 0 && !takes_window) {
    mixer.variant = "swa";
  }
  if (overrides.window_keys != 0) mixer.window_keys = overrides.window_keys;
  if (overrides.sinks != -1) mixer.sinks = overrides.sinks;
}

}  // namespace

ModelConfig WithOverrides(ModelConfig config, const MixerOverrides& overrides) {
  const auto has = [&](const char* kind) {
    return std::find(config.pattern.begin(), config.pattern.end(), kind) !=
           config.pattern.end();
  };
  const std::string& layers = overrides.layers;
  if (!layers.empty() && layers != "local" && layers != "all") {
    throw UserError(fmt::format(
        "layers to override are \"local\" or \"all\", not \"{}\"", layers));
  }
  if (layers == "local" && !has("local")) {
    throw UserError(fmt::format(
        "{} has no local layers; override all of its layers", config.name));
  }
  if (has("local")) Override(config.local, overrides);
  const bool all = layers == "all" || (layers.empty() && !has("local"));
  if (all && has("global")) Override(config.global, overrides);
  for (int64_t i = 0; i < config.layers; ++i) LayerProblem(config, i);
  return config;
}

}  // namespace rattn
