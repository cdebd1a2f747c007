// Scores of tokens among a vocabulary, whose logits never stand in memory all
// at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace rattn {

struct TokenScore {
  double log_prob = 0;  // of the target; natural
  int32_t top = 0;      // the likeliest token, the lowest id of equals
};

// For every row of hidden [N, M]: log softmax(logits)[target] and the likeliest
// token. `head`: from PackPanels, of V rows; softcap as
// ModelConfig::logit_softcap. A negative target asks for `top` only. Rows do
// not depend on each other. Throws RunError for logits that are not finite.
std::vector<TokenScore> ScoreTokens(const at::Tensor& hidden,
                                    const at::Tensor& head, int64_t vocab_size,
                                    double softcap,
                                    std::span<const int32_t> targets);

}  // namespace rattn
