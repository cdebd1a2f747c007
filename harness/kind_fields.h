// Fields and checks that several kinds share.
#pragma once

#include <string>

#include "harness/fields.h"
#include "models/model_config.h"

namespace rattn {

// variant, window_keys, sinks; with `variant` null a model's own mixer counts.
Fields MixerFields(const Json& variant, const Json& window_keys);

// model, pattern and the mixer of its local layers.
Fields ModelFields();

// Throws a UserError "ORIGIN: KEY: ..." if the value of `key` is none of
// `known`.
void CheckNamed(const Json& values, const std::string& key,
                const std::vector<std::string>& known,
                const std::string& origin);

// Names of backends, and "aten" where plain LibTorch operations count as one.
std::vector<std::string> BackendNames(bool with_aten);
// Whether a backend of that name runs on a device of its own.
bool RunsOnDevice(const std::string& backend);

// More than one per core is of no use, and thousands take a machine down.
inline constexpr int64_t kMostThreads = 1024;
// Throws UserError where `threads` is above that.
void CheckThreads(const Json& values, const std::string& origin);

// "fp32" -> kF32. The name must be one of a Dtype.
Dtype ParseDtype(const std::string& name);

// The model `model` of a cell with its pattern and local mixer (variant,
// window_keys, sinks) replaced where the cell names them. Throws UserErrors.
ModelConfig ModelOf(const Json& values, const std::string& origin);

// Brings pattern, variant, window_keys and sinks of a model cell into their one
// spelling and adds "model_hash", which stands for all the model's figures.
void NormalizeModel(Json& values, const std::string& origin);
// The same of a config that is at hand, with null where it has no local layer.
void DescribeModel(const ModelConfig& config, Json& values,
                   const std::string& origin);

}  // namespace rattn
