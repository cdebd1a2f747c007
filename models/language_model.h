// A model as tasks see it. Free of LibTorch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/batch_source.h"

namespace rattn {

struct TokenAt {
  int64_t row = 0;
  int64_t position = 0;
};

struct CacheUse {
  int64_t kv_bytes = 0;     // keys and values of all layers
  int64_t state_bytes = 0;  // recurrent states of all layers
  // Time of every token after the first, which pays for the prompt.
  std::vector<double> token_seconds;
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual int64_t vocab_size() const = 0;
  // Logits [at.size(), vocab_size] of the next token after each place; computed
  // only there. Deterministic for a row whatever else is in the batch.
  virtual std::vector<float> Logits(const Batch& batch,
                                    std::span<const TokenAt> at) const = 0;
  // Greedy continuation of one prompt through the caches, `prefill_chunk`
  // tokens at a time (0 = all at once); stops after `max_new` tokens or after
  // `stop_token` (-1 = never). `use`, if given, receives what was measured.
  virtual std::vector<int32_t> Generate(std::span<const int32_t> prompt,
                                        int64_t max_new, int32_t stop_token,
                                        int64_t prefill_chunk,
                                        CacheUse* use) const = 0;
};

}  // namespace rattn
