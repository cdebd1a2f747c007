#include "tasks/files/pair_encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"
#include "tasks/python_text.h"

namespace rattn {

PairEncoder::PairEncoder(const Tokenizer& tokenizer, int64_t max_length)
    : tokenizer_(tokenizer), max_length_(max_length) {
  prefix_ = tokenizer.bos() >= 0 ? tokenizer.bos() : tokenizer.eos();
  if (prefix_ < 0) {
    throw UserError(
        "the tokenizer has neither a BOS nor an EOS token: name one in "
        "tokenizer_config.json");
  }
  if (max_length < 1) {
    throw UserError(
        fmt::format("the model's length must be positive, not {}", max_length));
  }
}

std::vector<int32_t> PairEncoder::EncodeWhole(const std::string& text) const {
  // As lm-eval: a text that spells BOS itself gets no other one.
  const bool spelt =
      tokenizer_.adds_bos() &&
      text.starts_with(tokenizer_.Decode(std::vector<int32_t>{prefix_}, false));
  std::vector<int32_t> ids = tokenizer_.Encode(text, !spelt);
  if (ids.size() >= 2 && ids[0] == tokenizer_.bos() && ids[1] == ids[0]) {
    throw UserError(fmt::format(
        "a prompt begins with two BOS tokens (id {}): the tokenizer and the "
        "text both add one",
        ids[0]));
  }
  return ids;
}

std::vector<int32_t> PairEncoder::EncodeContext(const std::string& context) {
  if (last_ids_.empty() || context != last_context_) {
    last_ids_ = EncodeWhole(context);
    last_context_ = context;
  }
  return last_ids_;
}

ScoreRequest PairEncoder::Encode(const std::string& context,
                                 const std::string& continuation) {
  const std::string kept(PythonRStrip(context));
  const std::string moved = context.substr(kept.size()) + continuation;
  if (!kept.empty()) return EncodePair(kept, moved);
  std::vector<int32_t> ids = tokenizer_.Encode(moved, false);
  // A text that spells the prefix itself has it as its context.
  if (ids.size() > 1 && ids.front() == prefix_) ids.erase(ids.begin());
  return Truncate({prefix_}, std::move(ids));
}

ScoreRequest PairEncoder::EncodePair(std::string context,
                                     std::string continuation) {
  const std::vector<int32_t> whole = EncodeWhole(context + continuation);
  std::vector<int32_t> head = EncodeContext(context);
  if (whole.size() > head.size()) {
    const auto split = whole.begin() + static_cast<int64_t>(head.size());
    std::vector<int32_t> tail(split, whole.end());
    return Truncate(std::move(head), std::move(tail));
  }
  // A token spans the join and nothing is left of the continuation.
  ++merged_;
  size_t common = 0;
  while (common < whole.size() && common < head.size() &&
         whole[common] == head[common]) {
    ++common;
  }
  if (!whole.empty()) common = std::min(common, whole.size() - 1);
  const auto split = whole.begin() + static_cast<int64_t>(common);
  std::vector<int32_t> before(whole.begin(), split);
  if (before.empty()) before.push_back(prefix_);
  return Truncate(std::move(before), {split, whole.end()});
}

ScoreRequest PairEncoder::Truncate(std::vector<int32_t> context,
                                   std::vector<int32_t> continuation) {
  const auto tokens = static_cast<int64_t>(continuation.size());
  if (tokens < 1) throw RunError("a continuation has no tokens");
  if (tokens > max_length_) {
    throw RunError(
        fmt::format("a continuation has {} tokens, the model takes {}", tokens,
                    max_length_));
  }
  const int64_t room = max_length_ + 1 - tokens;
  const int64_t excess = static_cast<int64_t>(context.size()) - room;
  if (excess > 0) {
    ++truncated_;
    context.erase(context.begin(), context.begin() + excess);
  }
  return {std::move(context), std::move(continuation)};
}

std::vector<int32_t> PairEncoder::EncodePrompt(const std::string& prompt,
                                               int64_t max_new_tokens) {
  const int64_t room = max_length_ - max_new_tokens;
  if (room < 1) {
    throw UserError(fmt::format(
        "{} new tokens leave no room for a prompt in a length of {}: lower "
        "max_gen_toks",
        max_new_tokens, max_length_));
  }
  std::vector<int32_t> ids = EncodeWhole(prompt);
  if (ids.empty()) ids.push_back(prefix_);
  const int64_t excess = static_cast<int64_t>(ids.size()) - room;
  if (excess > 0) {
    ++truncated_;
    ids.erase(ids.begin(), ids.begin() + excess);
  }
  return ids;
}

}  // namespace rattn
