// config.json of a Hugging Face folder as a model config.
#pragma once

#include <string>

#include "models/hf_architectures.h"
#include "models/model_config.h"

namespace rattn {

struct HfModel {
  ModelConfig config;
  const HfArchitecture* architecture = nullptr;
};

// From `folder`/config.json. Throws UserError that names the file, the key and
// what is wrong: an unknown architecture, a missing or impossible value, a
// feature that this program does not have.
HfModel LoadHfConfig(const std::string& folder);
// From JSON text; `name` becomes the model's name.
HfModel ParseHfConfig(const std::string& json_text, const std::string& origin,
                      const std::string& name);

}  // namespace rattn
