// Weights of a Hugging Face folder for inference.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/hf_config.h"
#include "models/hf_tensors.h"
#include "models/torch/weights.h"

namespace rattn {

// Matrices in `dtype`, norms and biases in fp32, the embedding as it is stored
// (fp32 where that is neither fp32 nor bf16). What the file has in the wanted
// form stays in its mapping: `tensors` must live as long as the weights.
// Parameters that no published model has (norms of a memory branch) get their
// starting values. Throws UserError that names a missing tensor or one of
// another shape or type.
ModelWeights LoadHfWeights(const ModelConfig& config,
                           const HfArchitecture& architecture,
                           const HfTensors& tensors, at::ScalarType dtype);

}  // namespace rattn
