#include "models/torch/transformer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "kernels/torch/torch_device.h"
#include "models/error.h"
#include "models/torch/experts.h"
#include "models/torch/ops.h"
#include "models/torch/products.h"

namespace rattn {
namespace {

constexpr const char* kPlainBackend = "aten";

at::ScalarType ComputeType(const std::string& name) {
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  throw UserError(fmt::format(
      "unknown dtype \"{}\" of a model; choose fp32 or bf16", name));
}

const Backend* FindMixerBackend(const std::string& name) {
  if (name == kPlainBackend) return nullptr;
  std::string reason;
  const Backend* backend = FindBackend(name, &reason);
  if (backend == nullptr) {
    throw UserError(fmt::format(
        "backend \"{}\" cannot be used: {} (models also have \"{}\")", name,
        reason, kPlainBackend));
  }
  return backend;
}

at::Device UsableDevice(const Backend* backend) {
  const at::Device device = DeviceOf(backend);
  if (const std::string reason = WhyUnusable(device); !reason.empty()) {
    throw UserError(
        fmt::format("models cannot run on {}: {}", device.str(), reason));
  }
  return device;
}

void CheckConfig(const ModelConfig& config) {
  if (config.vocab_size < 1) {
    throw UserError(fmt::format(
        "{} has no vocabulary; set \"vocab_size\" to run it", config.name));
  }
}

Gate GateOf(const std::string& ffn) {
  if (ffn == "geglu") return Gate::kGelu;
  if (ffn == "geglu_erf") return Gate::kGeluErf;
  return Gate::kSilu;
}

}  // namespace

Execution::Execution(const ExecutionOptions& options)
    : backend_name(options.backend),
      backend(FindMixerBackend(options.backend)),
      device(UsableDevice(backend)),
      dtype(ComputeType(options.dtype)),
      threads(options.threads),
      batch(options.batch) {
  if (threads < 0) {
    throw UserError(
        fmt::format("threads must be 0 (all) or more, got {}", threads));
  }
  if (threads == 0) {
    threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
}

TokenBlock MakeTokens(std::span<const int32_t> tokens, int64_t rows,
                      int64_t length, int64_t vocab_size, int32_t before) {
  for (const int32_t token : tokens) {
    if (token >= 0 && token < vocab_size) continue;
    throw UserError(fmt::format(
        "token {} is outside the model's vocabulary of {}; use a model made "
        "for this data",
        token, vocab_size));
  }
  TokenBlock block;
  block.rows = rows;
  block.length = length;
  block.tokens = at::empty({rows * length}, at::kInt);
  block.previous = at::empty({rows * length}, at::kInt);
  std::copy(tokens.begin(), tokens.end(),
            block.tokens.mutable_data_ptr<int32_t>());
  int32_t* previous = block.previous.mutable_data_ptr<int32_t>();
  for (int64_t i = 0; i < rows * length; ++i) {
    previous[i] = i % length == 0 ? before : tokens[i - 1];
  }
  return block;
}

Transformer::Transformer(const ModelConfig& config, const Execution& execution)
    : config_(config), execution_(execution) {
  CheckConfig(config);
  for (int64_t i = 0; i < config.layers; ++i) {
    plans_.push_back(
        MakeMixerPlan(config, i, execution.backend, execution.threads));
  }
}

void Transformer::set_threads(int threads) {
  execution_.threads = threads;
  for (MixerPlan& plan : plans_) plan.problem.threads = threads;
}

at::Tensor Transformer::Multiply(const at::Tensor& x, const at::Tensor& weight,
                                 int64_t width) const {
  return packed_ ? Product(x, weight, width) : Linear(x, weight);
}

at::Tensor Transformer::InputOf(const ModelWeights& weights,
                                const TokenBlock& tokens) const {
  at::Tensor x = Embed(tokens.tokens.to(execution_.device),
                       tokens.previous.to(execution_.device), weights.embedding,
                       weights.shift_embedding);
  if (x.scalar_type() == at::kBFloat16) x = x.to(at::kFloat);
  return config_.embedding_scale == 1 ? x : x * config_.embedding_scale;
}

at::Tensor Transformer::Qkv(const LayerWeights& w, const at::Tensor& h) const {
  const int64_t heads = config_.query_heads + 2 * config_.kv_heads;
  at::Tensor qkv = Multiply(h, w.qkv, heads * config_.head_dim);
  if (w.qkv_bias.defined()) qkv = qkv + w.qkv_bias;
  return qkv.to(execution_.dtype).view({-1, heads, config_.head_dim});
}

// x + the block's output, in x's type.
at::Tensor Transformer::AddBlock(const at::Tensor& x, const at::Tensor& in,
                                 const at::Tensor& matrix,
                                 const at::Tensor& bias,
                                 const at::Tensor& post_norm) const {
  if (!packed_ && !bias.defined() && !post_norm.defined()) {
    return LinearAdd(x, in, matrix);
  }
  at::Tensor y = Multiply(in, matrix, config_.d_model).to(x.scalar_type());
  if (bias.defined()) y = y + bias;
  if (post_norm.defined()) {
    y = RmsNorm(y, post_norm, config_.norm_eps, x.scalar_type());
  }
  return x + y;
}

at::Tensor Transformer::FeedForward(const LayerWeights& w,
                                    const at::Tensor& x) const {
  const at::ScalarType compute = execution_.dtype;
  const Gate gate = GateOf(config_.ffn);
  const at::Tensor h = RmsNorm(x, w.ffn_norm, config_.norm_eps, compute);
  const auto gated = [&](const at::Tensor& in, const at::Tensor& gate_up) {
    return GatedProduct(Multiply(in, gate_up, 2 * config_.ffn_dim).to(compute),
                        gate);
  };
  if (!w.router.defined()) {
    return AddBlock(x, gated(h, w.gate_up), w.down, at::Tensor(),
                    w.ffn_post_norm);
  }
  const at::Tensor logits =
      Multiply(h.to(w.router.scalar_type()), w.router, config_.experts);
  at::Tensor y = MixExperts(h, logits, config_.active_experts,
                            [&](const at::Tensor& rows, int64_t e) {
                              return Multiply(gated(rows, w.gate_up[e]),
                                              w.down[e], config_.d_model);
                            });
  if (w.ffn_post_norm.defined()) {
    y = RmsNorm(y, w.ffn_post_norm, config_.norm_eps, x.scalar_type());
  }
  return x + y;
}

at::Tensor Transformer::Run(const ModelWeights& weights,
                            const TokenBlock& tokens, const at::Tensor& places,
                            const MixLayer& mix) const {
  const at::ScalarType compute = execution_.dtype;
  at::Tensor x = InputOf(weights, tokens);
  for (int64_t i = 0; i < config_.layers; ++i) {
    const LayerWeights& w = weights.layers[i];
    const at::Tensor h =
        RmsNorm(x, w.attention_norm, config_.norm_eps, compute);
    at::Tensor o = mix(i, Qkv(w, h));
    // Nothing mixes tokens from here on: the rest is for the asked places.
    if (i + 1 == config_.layers && places.defined()) {
      const at::Tensor asked = places.to(execution_.device);
      o = o.index_select(0, asked);
      x = x.index_select(0, asked);
    }
    x = AddBlock(x, o, w.attention_out, w.attention_out_bias,
                 w.attention_post_norm);
    x = FeedForward(w, x);
  }
  return RmsNorm(x, weights.final_norm, config_.norm_eps, compute);
}

at::Tensor Transformer::Head(const ModelWeights& weights,
                             const at::Tensor& hidden) const {
  const at::Tensor logits = Multiply(hidden, weights.head, config_.vocab_size);
  const double cap = config_.logit_softcap;
  return cap > 0 ? (logits / cap).tanh() * cap : logits;
}

at::Tensor Transformer::Hidden(const ModelWeights& weights,
                               const TokenBlock& tokens,
                               const at::Tensor& places) const {
  return Run(weights, tokens, places, [&](int64_t i, const at::Tensor& qkv) {
    const at::Tensor o =
        Mix(plans_[i], weights.layers[i].mixer,
            qkv.view({tokens.rows, tokens.length, qkv.size(1), qkv.size(2)}));
    return o.view({qkv.size(0), -1});
  });
}

at::Tensor Transformer::Logits(const ModelWeights& weights,
                               const TokenBlock& tokens,
                               const at::Tensor& places) const {
  return Head(weights, Hidden(weights, tokens, places));
}

std::vector<KvCache> Transformer::MakeCaches() const {
  std::vector<KvCache> caches;
  for (const MixerPlan& plan : plans_) {
    caches.push_back(MakeCache(plan, execution_.dtype));
  }
  return caches;
}

at::Tensor Transformer::Extend(const ModelWeights& weights,
                               const TokenBlock& tokens,
                               std::vector<KvCache>& caches) const {
  const at::Tensor last = at::full({1}, tokens.length - 1, at::kLong);
  const CachedPiece piece{tokens.length, &caches};
  return Head(weights,
              ExtendPieces(weights, tokens, std::span(&piece, 1), last));
}

at::Tensor Transformer::ExtendPieces(const ModelWeights& weights,
                                     const TokenBlock& tokens,
                                     std::span<const CachedPiece> pieces,
                                     const at::Tensor& places) const {
  return Run(weights, tokens, places, [&](int64_t i, const at::Tensor& qkv) {
    std::vector<at::Tensor> outputs;
    int64_t first = 0;
    for (const CachedPiece& piece : pieces) {
      const at::Tensor rows = qkv.narrow(0, first, piece.length).unsqueeze(0);
      outputs.push_back(MixExtend(plans_[i], weights.layers[i].mixer, rows,
                                  (*piece.caches)[i])
                            .view({piece.length, -1}));
      first += piece.length;
    }
    return outputs.size() == 1 ? outputs[0] : at::cat(outputs);
  });
}

}  // namespace rattn
