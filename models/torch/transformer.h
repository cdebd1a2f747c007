// The local-global transformer: embeddings, then per layer x += mixer(norm(x))
// and x += ffn(norm(x)), final norm, output head; what else a config asks for
// (norms of the blocks' outputs, biases, caps, experts) stands where its
// comment says. The residual stream, norms, softmaxes and the loss are fp32
// whatever the compute type.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/model_config.h"
#include "models/runtime.h"
#include "models/torch/weights.h"

namespace rattn {

// Where and how a model runs, from ExecutionOptions. Throws UserError for an
// unknown backend or dtype, or a backend on a device that LibTorch cannot use.
struct Execution {
  explicit Execution(const ExecutionOptions& options);
  std::string backend_name;
  const Backend* backend = nullptr;  // nullptr = plain LibTorch operations
  at::Device device;                 // the backend's
  at::ScalarType dtype;              // of matrix products and mixers
  int threads = 1;
  int64_t batch = 0;  // as ExecutionOptions has it
};

// Token ids, on the CPU, of B sequences of T tokens, and what precedes each
// token.
struct TokenBlock {
  at::Tensor tokens;    // int32 [B T]
  at::Tensor previous;  // int32 [B T], -1 = none
  int64_t rows = 0;     // B
  int64_t length = 0;   // T
};
// From row-major [rows, length]; `before` precedes the first token of a row.
// Throws UserError for a token outside the vocabulary.
TokenBlock MakeTokens(std::span<const int32_t> tokens, int64_t rows,
                      int64_t length, int64_t vocab_size, int32_t before = -1);

// New tokens of one sequence among others in a call, and its caches (one per
// layer), which are brought up to date.
struct CachedPiece {
  int64_t length = 0;
  std::vector<KvCache>* caches = nullptr;
};

class Transformer {
 public:
  // Throws UserError for what cannot be built (unknown variants) or what the
  // backend cannot run.
  Transformer(const ModelConfig& config, const Execution& execution);

  const ModelConfig& config() const { return config_; }
  const Execution& execution() const { return execution_; }
  void set_threads(int threads);
  // Weights have gone through PackPanels (models/torch/products.h): a row's
  // result no longer depends on the rows beside it. Inference only.
  void set_packed(bool packed) { packed_ = packed; }

  // Logits [places, V] at the places (int64 indices into [B T]; all of them if
  // absent), in the compute type. Differentiable.
  at::Tensor Logits(const ModelWeights& weights, const TokenBlock& tokens,
                    const at::Tensor& places) const;
  // What the output head reads, [places, M]: Logits is the head's product with
  // it, capped where the config says so.
  at::Tensor Hidden(const ModelWeights& weights, const TokenBlock& tokens,
                    const at::Tensor& places) const;

  // One cache per layer, for one sequence.
  std::vector<KvCache> MakeCaches() const;
  // Feeds T tokens of one sequence (B = 1) through the caches; logits of the
  // last one, [1, V]. Needs a backend.
  at::Tensor Extend(const ModelWeights& weights, const TokenBlock& tokens,
                    std::vector<KvCache>& caches) const;
  // The same for pieces of several sequences, whose tokens stand one behind
  // the other in `tokens`; what the output head reads at `places` of them.
  at::Tensor ExtendPieces(const ModelWeights& weights, const TokenBlock& tokens,
                          std::span<const CachedPiece> pieces,
                          const at::Tensor& places) const;

 private:
  // (layer, qkv [N, heads, D]) to [N, Hq D].
  using MixLayer = std::function<at::Tensor(int64_t, const at::Tensor&)>;
  at::Tensor Run(const ModelWeights& weights, const TokenBlock& tokens,
                 const at::Tensor& places, const MixLayer& mix) const;
  at::Tensor InputOf(const ModelWeights& weights,
                     const TokenBlock& tokens) const;
  at::Tensor Qkv(const LayerWeights& w, const at::Tensor& h) const;
  at::Tensor FeedForward(const LayerWeights& w, const at::Tensor& x) const;
  at::Tensor Head(const ModelWeights& weights, const at::Tensor& hidden) const;
  at::Tensor Multiply(const at::Tensor& x, const at::Tensor& weight,
                      int64_t width) const;
  at::Tensor AddBlock(const at::Tensor& x, const at::Tensor& in,
                      const at::Tensor& matrix, const at::Tensor& bias,
                      const at::Tensor& post_norm) const;

  ModelConfig config_;
  Execution execution_;
  std::vector<MixerPlan> plans_;
  bool packed_ = false;
};

}  // namespace rattn
