// LanguageModel on a LibTorch transformer.
#pragma once

#include "models/language_model.h"
#include "models/torch/transformer.h"
#include "models/torch/weights.h"

namespace rattn {

// Every row of a batch runs by itself and only as far as its last asked place,
// on the CPU rows in parallel: its logits depend neither on the other rows nor
// on the thread count.
class TorchModel : public LanguageModel {
 public:
  // `parameters`: the flat buffer of LayoutOf(config).
  TorchModel(const ModelConfig& config, const at::Tensor& parameters,
             const Execution& execution);

  int64_t vocab_size() const override { return model_.config().vocab_size; }
  std::vector<float> Logits(const Batch& batch,
                            std::span<const TokenAt> at) const override;
  // Backend "aten" has no caches: it runs the whole text for every token.
  std::vector<int32_t> Generate(std::span<const int32_t> prompt,
                                int64_t max_new, int32_t stop_token,
                                int64_t prefill_chunk,
                                CacheUse* use) const override;

 private:
  std::vector<float> RowLogits(std::span<const int32_t> tokens,
                               std::span<const int64_t> places) const;
  std::vector<int32_t> GenerateGreedily(std::span<const int32_t> prompt,
                                        int64_t max_new, int32_t stop_token,
                                        int64_t prefill_chunk,
                                        CacheUse* use) const;

  int threads_;
  Transformer model_;
  ModelWeights weights_;
};

}  // namespace rattn
