// How many tokens a text has: prompts are cut to length by it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "models/tokenizer.h"

namespace rattn {

class TokenCounter {
 public:
  virtual ~TokenCounter() = default;
  virtual int64_t Count(std::string_view text) = 0;
  // Some answer was found to be wrong: every use of it has to be repeated;
  // answers after Restart() are right.
  virtual bool wrong() const { return false; }
  virtual void Restart() {}
};

// Counts of a tokenizer without special tokens, from a cache of words where
// the tokenizer cuts at spaces. Whole texts are counted as well now and then;
// if the two ever differ the counter becomes `wrong` and, after Restart(),
// counts whole texts only.
class CachedTokenCounter : public TokenCounter {
 public:
  // `tokenizer` outlives the counter. With `add_special` as its checkpoint
  // does it, BOS included.
  explicit CachedTokenCounter(const Tokenizer* tokenizer,
                              bool add_special = false);
  int64_t Count(std::string_view text) override;
  bool wrong() const override { return wrong_; }
  void Restart() override;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  int64_t Whole(std::string_view text) const;
  int64_t OfPiece(std::string_view piece);
  int64_t FromPieces(std::string_view text);

  const Tokenizer* tokenizer_;
  bool add_special_;
  bool exact_only_ = false;
  bool wrong_ = false;
  int64_t calls_ = 0;
  int64_t lead_tokens_ = 0;  // of the letter before a piece
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> pieces_;
};

// What `generate` makes; once more if counts turned out wrong on the way.
template <typename Generate>
auto WithRightCounts(TokenCounter* counter, const Generate& generate) {
  auto made = generate();
  if (!counter->wrong()) return made;
  counter->Restart();
  return generate();
}

}  // namespace rattn
