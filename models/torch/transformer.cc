#include "models/torch/transformer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "models/error.h"
#include "models/torch/ops.h"

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

void CheckConfig(const ModelConfig& config) {
  if (config.experts > 1) {
    throw UserError(fmt::format(
        "{} is a mixture of experts, which can be costed but not run; set "
        "\"experts\" to 1",
        config.name));
  }
  if (config.vocab_size < 1) {
    throw UserError(fmt::format(
        "{} has no vocabulary; set \"vocab_size\" to run it", config.name));
  }
}

}  // namespace

Execution::Execution(const ExecutionOptions& options)
    : backend_name(options.backend),
      backend(FindMixerBackend(options.backend)),
      dtype(ComputeType(options.dtype)),
      threads(options.threads) {
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

at::Tensor Transformer::Run(const ModelWeights& weights,
                            const TokenBlock& tokens, const at::Tensor& places,
                            const MixLayer& mix) const {
  const int64_t heads = config_.query_heads + 2 * config_.kv_heads;
  const at::ScalarType compute = execution_.dtype;
  const Gate gate = config_.ffn == "geglu" ? Gate::kGelu : Gate::kSilu;
  at::Tensor x = Embed(tokens.tokens, tokens.previous, weights.embedding,
                       weights.shift_embedding);
  for (int64_t i = 0; i < config_.layers; ++i) {
    const LayerWeights& w = weights.layers[i];
    at::Tensor h = RmsNorm(x, w.attention_norm, config_.norm_eps, compute);
    const at::Tensor qkv = Linear(h, w.qkv).view(
        {tokens.rows, tokens.length, heads, config_.head_dim});
    at::Tensor o = mix(i, qkv).view({x.size(0), -1});
    // Nothing mixes tokens from here on: the rest is for the asked places.
    if (i + 1 == config_.layers && places.defined()) {
      o = o.index_select(0, places);
      x = x.index_select(0, places);
    }
    x = LinearAdd(x, o, w.attention_out);
    h = RmsNorm(x, w.ffn_norm, config_.norm_eps, compute);
    x = LinearAdd(x, GatedProduct(Linear(h, w.gate_up), gate), w.down);
  }
  return Linear(RmsNorm(x, weights.final_norm, config_.norm_eps, compute),
                weights.head);
}

at::Tensor Transformer::Logits(const ModelWeights& weights,
                               const TokenBlock& tokens,
                               const at::Tensor& places) const {
  return Run(weights, tokens, places, [&](int64_t i, const at::Tensor& qkv) {
    return Mix(plans_[i], weights.layers[i].mixer, qkv);
  });
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
  return Run(weights, tokens, last, [&](int64_t i, const at::Tensor& qkv) {
    return MixExtend(plans_[i], weights.layers[i].mixer, qkv, caches[i]);
  });
}

}  // namespace rattn
