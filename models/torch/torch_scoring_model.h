// ScoringModel on a LibTorch transformer.
#pragma once

#include <atomic>
#include <memory>

#include "models/hf_tensors.h"
#include "models/scoring_model.h"
#include "models/torch/transformer.h"

namespace rattn {

// Requests are cut into pieces (prefix_tree.h); pieces of several requests run
// together, each on the caches of its own sequence. A piece's arithmetic
// depends on its tokens, its place and what is before it alone.
//
// Backend "aten" has no caches: every request runs whole, by itself.
class TorchScoringModel : public ScoringModel {
 public:
  // `keep`: what the weights' memory belongs to, or nullptr.
  TorchScoringModel(const ModelConfig& config, ModelWeights weights,
                    const Execution& execution,
                    std::shared_ptr<const HfTensors> keep);

  int64_t vocab_size() const override { return model_.config().vocab_size; }
  int64_t max_length() const override { return model_.config().max_length; }
  void Score(std::span<const ScoreRequest> requests,
             const std::function<bool(size_t, const ContinuationScore&)>& done)
      const override;
  void Generate(std::span<const GenerateRequest> requests,
                const std::function<bool(size_t, const std::vector<int32_t>&)>&
                    done) const override;

  ScoringWork work() const override { return {asked_, computed_}; }

  // For the parts that run pieces and whole sequences.
  const Transformer& transformer() const { return model_; }
  const ModelWeights& weights() const { return weights_; }
  int64_t CacheBytesPerToken() const;
  void CountWork(int64_t asked, int64_t computed) const {
    asked_ += asked;
    computed_ += computed;
  }

 private:
  int threads_;
  std::shared_ptr<const HfTensors> keep_;
  Transformer model_;
  ModelWeights weights_;  // packed
  mutable std::atomic<int64_t> asked_ = 0, computed_ = 0;
};

}  // namespace rattn
