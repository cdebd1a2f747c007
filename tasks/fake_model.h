// Language models for tests: a function from the tokens so far to logits.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "models/language_model.h"

namespace rattn {

class FakeModel : public LanguageModel {
 public:
  // The tokens up to and including the place that is asked about.
  using Prefix = std::span<const int32_t>;
  using Logit = std::function<std::vector<float>(Prefix)>;

  FakeModel(int64_t vocab_size, Logit logits)
      : vocab_size_(vocab_size), logits_(std::move(logits)) {}

  // Is certain of the token that `next` names.
  static FakeModel Certain(int64_t vocab_size,
                           std::function<int32_t(Prefix)> next) {
    return FakeModel(vocab_size, [vocab_size, next](Prefix prefix) {
      std::vector<float> logits(vocab_size, 0.0f);
      logits[next(prefix)] = 30.0f;
      return logits;
    });
  }

  int64_t vocab_size() const override { return vocab_size_; }

  std::vector<float> Logits(const Batch& batch,
                            std::span<const TokenAt> at) const override {
    std::vector<float> all;
    for (const TokenAt& place : at) {
      const auto row = logits_({batch.tokens.data() + place.row * batch.length,
                                static_cast<size_t>(place.position + 1)});
      all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  }

  std::vector<int32_t> Generate(std::span<const int32_t> prompt,
                                int64_t max_new, int32_t stop_token, int64_t,
                                CacheUse* use) const override {
    std::vector<int32_t> tokens(prompt.begin(), prompt.end());
    while (static_cast<int64_t>(tokens.size() - prompt.size()) < max_new) {
      const auto row = logits_(tokens);
      tokens.push_back(static_cast<int32_t>(
          std::max_element(row.begin(), row.end()) - row.begin()));
      if (tokens.back() == stop_token) break;
    }
    if (use != nullptr) {
      const size_t generated = tokens.size() - prompt.size();
      // Bytes that name the context, times that are no noise.
      *use = {static_cast<int64_t>(prompt.size()), 0,
              std::vector<double>(generated > 0 ? generated - 1 : 0, 1e-3)};
    }
    return {tokens.begin() + static_cast<int64_t>(prompt.size()), tokens.end()};
  }

 private:
  int64_t vocab_size_;
  Logit logits_;
};

}  // namespace rattn
