// A tokenizer for tests: words, with the space before them, and every other
// character by itself.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "models/error.h"
#include "models/tokenizer.h"

namespace rattn {

class FakeTokenizer : public Tokenizer {
 public:
  // Words of more letters are cut into pieces of that many.
  explicit FakeTokenizer(size_t most_letters = 6, bool adds_bos = false)
      : most_letters_(most_letters), adds_bos_(adds_bos) {}

  int64_t vocab_size() const override { return 1 << 16; }
  std::vector<int32_t> Encode(std::string_view text,
                              bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special && adds_bos_) ids.push_back(1);
    for (size_t i = 0; i < text.size();) {
      size_t end = i + 1;
      if (text[i] == ' ' && end < text.size() && IsLetter(text[end])) ++end;
      const size_t last = std::min(end + most_letters_ - 1, text.size());
      if (IsLetter(text[end - 1])) {
        while (end < last && IsLetter(text[end])) ++end;
      }
      ids.push_back(static_cast<int32_t>(
          2 + std::hash<std::string_view>{}(text.substr(i, end - i)) % 65000));
      i = end;
    }
    return ids;
  }
  std::string Decode(std::span<const int32_t>, bool) const override {
    throw RunError("the fake tokenizer does not decode");
  }
  std::string Piece(int32_t id) const override { return std::to_string(id); }
  int32_t bos() const override { return adds_bos_ ? 1 : -1; }
  int32_t eos() const override { return -1; }
  bool adds_bos() const override { return adds_bos_; }
  std::string fingerprint() const override { return "fake"; }

 private:
  static bool IsLetter(char c) {
    return std::isalpha(static_cast<unsigned char>(c));
  }
  size_t most_letters_;
  bool adds_bos_;
};

}  // namespace rattn
