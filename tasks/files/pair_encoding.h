// Texts to token ids for scoring, as lm-eval's Hugging Face models do it, but
// without its two traps: a continuation without tokens and two BOS tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/scoring_model.h"
#include "models/tokenizer.h"

namespace rattn {

class PairEncoder {
 public:
  // `max_length`: positions of the model. Throws UserError if the tokenizer has
  // neither BOS nor EOS. `tokenizer` must outlive it.
  PairEncoder(const Tokenizer& tokenizer, int64_t max_length);

  // White space at the end of the context goes to the continuation. The
  // continuation's tokens are those of both together less as many as the
  // context has; if none are left, both are split where they first differ and
  // merged() counts one more. An empty context is BOS (else EOS). The last
  // max_length + 1 tokens are kept. Throws UserError for two BOS tokens at the
  // beginning, RunError for a continuation longer than max_length.
  ScoreRequest Encode(const std::string& context,
                      const std::string& continuation);

  // Ids of a prompt to be continued, cut on the left to max_length -
  // max_new_tokens. Throws UserError if that is less than 1.
  std::vector<int32_t> EncodePrompt(const std::string& prompt,
                                    int64_t max_new_tokens);

  // Of a prompt, as Encode and EncodePrompt see it before cutting.
  std::vector<int32_t> EncodeContext(const std::string& context);

  int32_t prefix_token() const { return prefix_; }
  int64_t merged() const { return merged_; }
  int64_t truncated() const { return truncated_; }

 private:
  std::vector<int32_t> EncodeWhole(const std::string& text) const;
  ScoreRequest EncodePair(std::string context, std::string continuation);
  ScoreRequest Truncate(std::vector<int32_t> context,
                        std::vector<int32_t> continuation);

  const Tokenizer& tokenizer_;
  int64_t max_length_;
  int32_t prefix_ = -1;
  // Of the last context: the choices of a document share it.
  std::string last_context_;
  std::vector<int32_t> last_ids_;
  int64_t merged_ = 0, truncated_ = 0;
};

}  // namespace rattn
