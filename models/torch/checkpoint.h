// Checkpoints: safetensors with the weights under their own names, both
// moments of AdamW, the loss curve, and in the metadata the step and
// everything that determines the run.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models/model_config.h"
#include "models/runtime.h"
#include "models/torch/weights.h"

namespace rattn {

// What determines a training run; two runs with equal ones are the same run.
struct RunIdentity {
  std::string config;    // JSON of the model config
  std::string training;  // JSON of the options and of how they are executed
  std::string data;      // fingerprint of the data
};
RunIdentity IdentityOf(const ModelConfig& config, const TrainOptions& options,
                       const ExecutionOptions& execution,
                       const BatchSource& data);

struct TrainState {
  int64_t step = 0;                                    // steps done
  at::Tensor parameters, first_moment, second_moment;  // flat, fp32
  std::vector<float> loss_curve;                       // one value per step
};

// Atomic. Throws RunError if the file cannot be written.
void SaveCheckpoint(const std::string& path, const RunIdentity& identity,
                    const ParameterLayout& layout, const TrainState& state);

// Fills `state`, whose tensors have their sizes. Throws UserError that names
// what differs if the file belongs to another run, or is damaged.
void LoadCheckpoint(const std::string& path, const RunIdentity& identity,
                    const ParameterLayout& layout, TrainState* state);

// Config and parameters alone, to run the model. Throws UserError.
struct LoadedModel {
  ModelConfig config;
  at::Tensor parameters;  // flat
};
LoadedModel LoadModel(const std::string& path);

}  // namespace rattn
