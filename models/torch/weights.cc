#include "models/torch/weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "kernels/random.h"

namespace rattn {
namespace {

constexpr int64_t kLineElements = 16;  // floats of a cache line

Parameter Start(std::vector<int64_t> shape, double std, double constant) {
  return {"", std::move(shape), std, constant};
}

void VisitMixer(const ModelConfig& c, int64_t index, const std::string& prefix,
                MixerWeights& w, const WeightVisit& visit) {
  const MixerSpec spec = LayerProblem(c, index).spec;
  const auto ones = [](std::vector<int64_t> shape) {
    return Start(std::move(shape), 0, 1);
  };
  if (NormsQueriesAndKeys(c, spec)) {
    visit(prefix + "q_norm", w.qk.norm_q, ones({c.head_dim}));
    visit(prefix + "k_norm", w.qk.norm_k, ones({c.head_dim}));
  }
  if (HasMemory(spec) && c.memory_qk_scale > 0) {
    const Parameter start = Start({c.head_dim}, 0, c.memory_qk_scale);
    visit(prefix + "memory_q_scale", w.qk.memory_q_scale, start);
    visit(prefix + "memory_k_scale", w.qk.memory_k_scale, start);
  }
  if (!UsesNorms(spec)) return;
  if (HasLocal(spec)) {
    visit(prefix + "norm_local", w.norm_local,
          ones({c.query_heads, c.head_dim}));
  }
  if (HasMemory(spec)) {
    visit(prefix + "norm_memory", w.norm_memory,
          ones({c.query_heads, c.head_dim}));
  }
}

Parameter Matrix(const ModelConfig& c, int64_t out, int64_t in,
                 double shrink = 1) {
  return Start({out, in}, c.init_std * shrink, 0);
}

// Keeps the residual stream's variance independent of depth (GPT-2).
double ResidualShrink(const ModelConfig& c) {
  return 1 / std::sqrt(2.0 * static_cast<double>(c.layers));
}

void VisitAttention(const ModelConfig& c, int64_t index,
                    const std::string& prefix, LayerWeights& w,
                    const WeightVisit& visit) {
  const int64_t qkv = (c.query_heads + 2 * c.kv_heads) * c.head_dim;
  visit(prefix + "attention_norm", w.attention_norm, Start({c.d_model}, 0, 1));
  visit(prefix + "qkv", w.qkv, Matrix(c, qkv, c.d_model));
  if (c.qkv_bias) visit(prefix + "qkv_bias", w.qkv_bias, Start({qkv}, 0, 0));
  VisitMixer(c, index, prefix, w.mixer, visit);
  visit(prefix + "attention_out", w.attention_out,
        Matrix(c, c.d_model, c.query_heads * c.head_dim, ResidualShrink(c)));
  if (c.attention_out_bias) {
    visit(prefix + "attention_out_bias", w.attention_out_bias,
          Start({c.d_model}, 0, 0));
  }
}

void VisitFeedForward(const ModelConfig& c, const std::string& prefix,
                      LayerWeights& w, const WeightVisit& visit) {
  visit(prefix + "ffn_norm", w.ffn_norm, Start({c.d_model}, 0, 1));
  Parameter gate_up = Matrix(c, 2 * c.ffn_dim, c.d_model);
  Parameter down = Matrix(c, c.d_model, c.ffn_dim, ResidualShrink(c));
  if (c.experts > 1) {
    visit(prefix + "router", w.router, Matrix(c, c.experts, c.d_model));
    gate_up.shape.insert(gate_up.shape.begin(), c.experts);
    down.shape.insert(down.shape.begin(), c.experts);
  }
  visit(prefix + "gate_up", w.gate_up, gate_up);
  visit(prefix + "down", w.down, down);
}

void VisitPostNorms(const ModelConfig& c, const std::string& prefix,
                    LayerWeights& w, const WeightVisit& visit) {
  if (!c.post_norms) return;
  const Parameter norm = Start({c.d_model}, 0, 1);
  visit(prefix + "attention_post_norm", w.attention_post_norm, norm);
  visit(prefix + "ffn_post_norm", w.ffn_post_norm, norm);
}

// FNV-1a: the random stream of a parameter follows from its name.
uint64_t HashName(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

}  // namespace

// The one list of a model's parameters: names, shapes and starts.
void VisitWeights(const ModelConfig& c, ModelWeights& w,
                  const WeightVisit& visit) {
  const Parameter table =
      Start({c.vocab_size, c.d_model},
            c.embedding_std > 0 ? c.embedding_std : c.init_std, 0);
  visit("embedding", w.embedding, table);
  if (c.token_shift) visit("shift_embedding", w.shift_embedding, table);
  w.layers.resize(c.layers);
  for (int64_t i = 0; i < c.layers; ++i) {
    LayerWeights& layer = w.layers[i];
    const std::string prefix = fmt::format("layers.{}.", i);
    VisitAttention(c, i, prefix, layer, visit);
    VisitFeedForward(c, prefix, layer, visit);
    VisitPostNorms(c, prefix, layer, visit);
  }
  visit("final_norm", w.final_norm, Start({c.d_model}, 0, 1));
  if (!c.tied_embeddings) {
    visit("head", w.head, Matrix(c, c.vocab_size, c.d_model));
  }
}

int64_t Parameter::NumElements() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1},
                         std::multiplies<>());
}

ParameterLayout LayoutOf(const ModelConfig& config) {
  ParameterLayout layout;
  ModelWeights unused;
  VisitWeights(config, unused,
               [&](const std::string& name, at::Tensor&, const Parameter& p) {
                 layout.parameters.push_back(p);
                 layout.parameters.back().name = name;
               });
  const auto place = [&](bool decayed) {
    for (Parameter& p : layout.parameters) {
      if ((p.shape.size() >= 2) != decayed) continue;
      p.offset = layout.total_elements;
      const int64_t lines =
          (p.NumElements() + kLineElements - 1) / kLineElements;
      layout.total_elements += lines * kLineElements;
    }
  };
  place(true);
  layout.decayed_elements = layout.total_elements;
  place(false);
  return layout;
}

at::Tensor InitialParameters(const ParameterLayout& layout, uint64_t seed) {
  at::Tensor flat = at::zeros({layout.total_elements}, at::kFloat);
  float* data = flat.mutable_data_ptr<float>();
  for (const Parameter& p : layout.parameters) {
    const Philox random(seed, HashName(p.name));
    const int64_t n = p.NumElements();
    for (int64_t i = 0; i < n; ++i) {
      data[p.offset + i] =
          static_cast<float>(p.std > 0 ? p.std * random.Normal(i) : p.constant);
    }
  }
  return flat;
}

at::Tensor PartOf(const at::Tensor& flat, const Parameter& parameter) {
  return flat.narrow(0, parameter.offset, parameter.NumElements())
      .view(parameter.shape);
}

ModelWeights ViewWeights(const ModelConfig& config,
                         const ParameterLayout& layout, const at::Tensor& flat,
                         const at::Tensor& flat_gradient) {
  std::map<std::string, const Parameter*> by_name;
  for (const Parameter& p : layout.parameters) by_name[p.name] = &p;
  ModelWeights weights;
  VisitWeights(
      config, weights,
      [&](const std::string& name, at::Tensor& tensor, const Parameter&) {
        const Parameter& p = *by_name.at(name);
        tensor = PartOf(flat, p).detach();
        if (!flat_gradient.defined()) return;
        tensor.set_requires_grad(true);
        tensor.mutable_grad() = PartOf(flat_gradient, p);
      });
  if (config.tied_embeddings) weights.head = weights.embedding;
  return weights;
}

void MapMatrices(ModelWeights& weights,
                 const std::function<at::Tensor(const at::Tensor&)>& f) {
  for (LayerWeights& layer : weights.layers) {
    for (at::Tensor* matrix :
         {&layer.qkv, &layer.attention_out, &layer.gate_up, &layer.down}) {
      *matrix = f(*matrix);
    }
  }
}

void CastMatrices(ModelWeights& weights, at::ScalarType dtype) {
  weights.head = weights.head.to(dtype);
  MapMatrices(weights, [=](const at::Tensor& m) { return m.to(dtype); });
}

}  // namespace rattn
