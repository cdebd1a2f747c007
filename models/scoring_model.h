// A checkpoint as evaluations see it: scores and continues token sequences.
// Free of LibTorch and of text; tokenizers stand in models/tokenizer.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rattn {

// What a continuation is worth after a context. `context` may not be empty:
// the caller puts the token there that an empty context stands for.
struct ScoreRequest {
  std::vector<int32_t> context;
  std::vector<int32_t> continuation;
};

struct ContinuationScore {
  std::vector<double> token_log_probs;  // natural, one per continuation token
  bool is_greedy = false;  // every token is the likeliest (lowest id of equals)
  double Sum() const {
    double sum = 0;
    for (const double x : token_log_probs) sum += x;
    return sum;
  }
};

struct GenerateRequest {
  std::vector<int32_t> prompt;
  int64_t max_new_tokens = 256;
  // Called after each new token with all new ones; true ends the generation.
  std::function<bool(std::span<const int32_t>)> stop;
};

// Tokens that requests had a model read, and those that it did read: what
// requests have in common once.
struct ScoringWork {
  int64_t asked = 0;
  int64_t computed = 0;
};

// Results do not depend on the order of requests, on what else is in the call
// or on the thread count. `done(i)` is called as results arrive, from one
// thread; it returns false to stop early (what is missing then stays empty).
// Non-finite logits throw RunError.
class ScoringModel {
 public:
  virtual ~ScoringModel() = default;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t max_length() const = 0;  // positions the model was made for
  // Since the model was made; generated tokens included.
  virtual ScoringWork work() const { return {}; }
  virtual void Score(
      std::span<const ScoreRequest> requests,
      const std::function<bool(size_t, const ContinuationScore&)>& done)
      const = 0;
  virtual void Generate(
      std::span<const GenerateRequest> requests,
      const std::function<bool(size_t, const std::vector<int32_t>&)>& done)
      const = 0;
};

}  // namespace rattn
