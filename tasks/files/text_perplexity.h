// Perplexity of a text file in windows, as lm-eval's rolling log-likelihood.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/scoring_model.h"
#include "models/tokenizer.h"
#include "tasks/files/run_text_task.h"

namespace rattn {

struct PerplexityOptions {
  int64_t window = 0;  // tokens that the model sees; 0 = its length
  // Tokens that each window after the first scores, the rest being context;
  // 0 = the window, as lm-eval: no overlap.
  int64_t stride = 0;
  int64_t most_tokens = 0;  // of the file, from its beginning; 0 = all
  bool log_samples = false;
  AnswerStore* answers = nullptr;
  std::string model_key;
  std::function<bool(int64_t, int64_t)> progress;  // windows; false stops
};

// Every token exactly once after a BOS (else EOS) token at the beginning; the
// first window scores all of its tokens. `stride` from 1 to `window`, which
// is lm-eval's max_seq_len (context_len = window - stride + 1).
std::vector<ScoreRequest> RollingWindows(const std::vector<int32_t>& tokens,
                                         int32_t prefix, int64_t window,
                                         int64_t stride);

// Metrics word_perplexity, byte_perplexity, bits_per_byte (lm-eval's) and
// token_perplexity. lm-eval gives no errors for them; ours are over windows,
// carried over from nats per token to first order. Tokens are encoded without
// special ones, so that there are never two BOS. Samples are windows. Throws
// UserError for files that are missing or have no tokens, and for window and
// stride out of range; RunError for scores that are not finite.
TextEvalResult RunPerplexity(const std::string& path,
                             const Tokenizer& tokenizer,
                             const ScoringModel& model,
                             const PerplexityOptions& options);

}  // namespace rattn
