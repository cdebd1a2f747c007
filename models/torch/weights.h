// The learned tensors of a transformer, all of them parts of one contiguous
// fp32 buffer, so that the optimizer and the gradient norm are a few passes
// over memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/model_config.h"
#include "models/torch/mixer.h"

namespace rattn {

// M d_model, F ffn_dim, V vocab_size, D head_dim, E experts; matrices are
// [out, in]. Absent where the config does not ask for them.
struct LayerWeights {
  at::Tensor attention_norm;  // [M]
  at::Tensor qkv;             // [(Hq + 2 Hkv) D, M]: q heads, k heads, v heads
  at::Tensor qkv_bias;        // [(Hq + 2 Hkv) D]
  MixerWeights mixer;
  at::Tensor attention_out;        // [M, Hq D]
  at::Tensor attention_out_bias;   // [M]
  at::Tensor attention_post_norm;  // [M]
  at::Tensor ffn_norm;             // [M]
  at::Tensor router;               // [E, M]
  at::Tensor gate_up;        // [2 F, M]: gate, then up; experts: [E, 2 F, M]
  at::Tensor down;           // [M, F]; experts: [E, M, F]
  at::Tensor ffn_post_norm;  // [M]
};

struct ModelWeights {
  at::Tensor embedding;        // [V, M]
  at::Tensor shift_embedding;  // [V, M], with token_shift
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // [M]
  at::Tensor head;        // [V, M]; the embedding itself where they are tied
};

// A named parameter and how it starts: `std` > 0 draws from N(0, std^2), else
// every element is `constant`.
struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  double std = 0;
  double constant = 0;
  int64_t offset = 0;  // of its first element in the flat buffer
  int64_t NumElements() const;
};

// Calls visit(name, tensor, shape and start) for every parameter of a config,
// so that it can fill or read the tensor's place in `weights`.
using WeightVisit =
    std::function<void(const std::string&, at::Tensor&, const Parameter&)>;
void VisitWeights(const ModelConfig& config, ModelWeights& weights,
                  const WeightVisit& visit);

// Every parameter of a config with its place in the flat buffer: first those
// with two or more axes (weight decay applies to them), then the others. Each
// starts on a cache line; the padding is zero.
struct ParameterLayout {
  std::vector<Parameter> parameters;
  int64_t decayed_elements = 0;
  int64_t total_elements = 0;  // of the buffer
};
ParameterLayout LayoutOf(const ModelConfig& config);

// A buffer [total_elements] with initial values: element i of a parameter is a
// pure function of (seed, name, i), so variants of one seed share what they
// have in common.
at::Tensor InitialParameters(const ParameterLayout& layout, uint64_t seed);

// The parameter's part of a flat buffer (parameters, gradients, moments).
at::Tensor PartOf(const at::Tensor& flat, const Parameter& parameter);

// Weights of `config` as views of `flat`; with `trainable`, leaves that collect
// their gradients in `flat_gradient` (same layout).
ModelWeights ViewWeights(const ModelConfig& config,
                         const ParameterLayout& layout, const at::Tensor& flat,
                         const at::Tensor& flat_gradient = at::Tensor());

// Replaces the matrices of the layers by f of them; norms, biases and routers
// stay as they are.
void MapMatrices(ModelWeights& weights,
                 const std::function<at::Tensor(const at::Tensor&)>& f);
// Copies of these and of the output head in `dtype`.
void CastMatrices(ModelWeights& weights, at::ScalarType dtype);

}  // namespace rattn
