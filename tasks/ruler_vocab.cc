#include "tasks/ruler_vocab.h"

#include <fmt/format.h>

#include <array>

#include "tasks/params.h"

namespace rattn {
namespace {

constexpr int64_t kMaxWords = 1 << 16;
constexpr std::array<const char*, RulerVocab::kSpecials> kSpecialText = {
    "<pad>",   "ask",       "ask_all",  "answer:", "trace",
    "common?", "frequent?", "document", "about",   "..."};

}  // namespace

RulerVocab::RulerVocab(const RulerVocabParams& params)
    : params_(params),
      key0_(kSpecials),
      value0_(Key(params.keys)),
      word0_(Value(params.values)),
      attribute0_(Word(params.words)),
      size_(Attribute(params.attributes)) {
  CheckRange("ruler", "vocabulary.keys", params.keys, 2, kMaxWords);
  CheckRange("ruler", "vocabulary.values", params.values, 2, kMaxWords);
  CheckRange("ruler", "vocabulary.words", params.words, 2, kMaxWords);
  CheckRange("ruler", "vocabulary.attributes", params.attributes, 1, kMaxWords);
}

std::string RulerVocab::Text(int32_t token) const {
  if (token < 0 || token >= size_) return fmt::format("<{}>", token);
  if (token < kSpecials) return kSpecialText[token];
  if (token < value0_) return fmt::format("key{}", token - key0_);
  if (token < word0_) return fmt::format("val{}", token - value0_);
  if (token < attribute0_) return fmt::format("w{}", token - word0_);
  return fmt::format("attr{}", token - attribute0_);
}

std::string RulerVocab::Text(const std::vector<int32_t>& tokens) const {
  std::string text;
  for (const int32_t token : tokens) {
    if (!text.empty()) text += ' ';
    text += Text(token);
  }
  return text;
}

}  // namespace rattn
