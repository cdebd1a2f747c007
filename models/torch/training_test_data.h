// A small task and model for the tests of training and generation: the label
// is the token some places back.
#pragma once

#include <string>

#include "kernels/random.h"
#include "models/batch_source.h"
#include "models/model_config.h"

namespace rattn {

class CopyTask : public BatchSource {
 public:
  explicit CopyTask(uint64_t seed = 0, int64_t length = 12)
      : seed_(seed), length_(length) {}
  Batch TrainBatch(int64_t step, int64_t rows) const override {
    const Philox random(seed_, static_cast<uint64_t>(step));
    Batch b{rows, length_, {}, {}};
    for (int64_t i = 0; i < rows * length_; ++i) {
      b.tokens.push_back(static_cast<int32_t>(random.Bits(i) % vocab_size()));
      b.targets.push_back(i % length_ < 2 ? kNoTarget : b.tokens[i - 2]);
    }
    return b;
  }
  int64_t vocab_size() const override { return 11; }
  std::string Fingerprint() const override {
    return "copy " + std::to_string(seed_);
  }

 private:
  uint64_t seed_;
  int64_t length_;
};

inline ModelConfig CopyModel(const std::string& variant, int64_t window_keys,
                             const std::string& pattern = "LG") {
  ModelConfig c;
  c.name = "copy";
  c.vocab_size = 11;
  c.d_model = 16;
  c.layers = static_cast<int64_t>(pattern.size());
  c.pattern.clear();
  for (const char kind : pattern) {
    c.pattern.push_back(kind == 'L' ? "local" : "global");
  }
  c.query_heads = 2;
  c.kv_heads = 1;
  c.head_dim = 8;
  c.ffn_dim = 16;
  c.local.variant = variant;
  c.local.window_keys = window_keys;
  c.local.rope = true;
  c.global.variant = "full";
  c.qk_norm = "before_rope";
  c.memory_qk_scale = 2;
  c.init_std = 0.3;
  c.token_shift = true;
  return c;
}

}  // namespace rattn
