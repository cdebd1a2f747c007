#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <unordered_set>
#include <utility>

#include "models/error.h"
#include "tasks/ruler_text/fresh.h"

namespace rattn {
namespace {

constexpr size_t kCommonWords = 10;
constexpr int64_t kShortRoom = 3900;

// Words that no other word contains: finding one in an answer means that it
// was given.
std::vector<std::string> UnambiguousWords(
    const std::vector<std::string>& words) {
  std::unordered_set<std::string> inner;
  for (const std::string& word : words) {
    for (size_t from = 0; from < word.size(); ++from) {
      for (size_t size = 1; from + size <= word.size(); ++size) {
        if (size < word.size()) inner.insert(word.substr(from, size));
      }
    }
  }
  std::vector<std::string> result;
  for (const std::string& word : words) {
    if (!inner.contains(word)) result.push_back(word);
  }
  return result;
}

class FreshCwe : public FreshSample {
 public:
  explicit FreshCwe(FreshContext context) : seed_(context.lines_seed) {
    words_ = UnambiguousWords(context.sources->words());
    if (words_.size() <= kCommonWords) {
      throw UserError("cwe: the word lists hold too few words");
    }
    Shuffle(&words_, &context.random);
    // Where the lists run out of words, each occurs more often.
    const bool is_short = context.room < kShortRoom;
    constexpr int64_t kTokensOfEntry = 4;
    const int64_t entries = context.room / kTokensOfEntry;
    others_ =
        is_short
            ? 1
            : 3 * (1 + entries / (3 * static_cast<int64_t>(words_.size())));
    common_ = is_short ? 6 : 10 * others_;
  }

  int64_t least() const override { return 1; }
  int64_t most() const override {
    return others_ * static_cast<int64_t>(words_.size() - kCommonWords);
  }

  // Units are entries of uncommon words, so that the last of them may occur
  // less often than the rest.
  RulerPrompt Render(int64_t units) const override {
    std::vector<std::string> list;
    for (int64_t i = 0; i < common_; ++i) {
      list.insert(list.end(), words_.begin(), words_.begin() + kCommonWords);
    }
    for (int64_t i = 0; i < units; ++i) {
      list.push_back(words_[kCommonWords + i / others_]);
    }
    PhiloxSequence random(seed_, 2);
    Shuffle(&list, &random);
    return {
        "In this numbered list ten words occur more often than all "
        "others.\n" +
            NumberedList(list) +
            "\nWrite down the ten words that occur most often.",
        " The ten most frequent words:",
        {words_.begin(), words_.begin() + kCommonWords}};
  }

 private:
  uint64_t seed_;
  std::vector<std::string> words_;
  int64_t common_ = 0, others_ = 0;
};

class FreshFwe : public FreshSample {
 public:
  explicit FreshFwe(FreshContext context) : seed_(context.lines_seed) {
    const int64_t size = std::max<int64_t>(8, context.room / 50);
    std::set<std::string> used;
    while (static_cast<int64_t>(words_.size()) < size) {
      std::string word = FreshLetters(6, 'a', &context.random);
      if (used.insert(word).second) words_.push_back(std::move(word));
    }
  }

  // Below, the third word would not occur.
  int64_t least() const override { return 27; }

  // Zipf-like with exponent 2 as in the original; the likeliest is a dot.
  RulerPrompt Render(int64_t units) const override {
    constexpr double kZeta2 = std::numbers::pi * std::numbers::pi / 6;
    std::vector<std::string> text;
    for (size_t k = 0; k <= words_.size(); ++k) {
      const double rank = static_cast<double>(k + 1);
      const int64_t count = static_cast<int64_t>(static_cast<double>(units) /
                                                 (rank * rank * kZeta2));
      text.insert(text.end(), count, k == 0 ? "..." : words_[k - 1]);
    }
    PhiloxSequence random(seed_, 3);
    Shuffle(&text, &random);
    return {"Count the made-up words of this text; its dots do not count.\n" +
                Join(text, " ") +
                "\nWhich three words occur most often? Give only the words.",
            " The three most frequent words:",
            {words_.begin(), words_.begin() + 3}};
  }

 private:
  uint64_t seed_;
  std::vector<std::string> words_;
};

}  // namespace

std::unique_ptr<FreshSample> MakeFreshCwe(FreshContext context) {
  return std::make_unique<FreshCwe>(std::move(context));
}

std::unique_ptr<FreshSample> MakeFreshFwe(FreshContext context) {
  return std::make_unique<FreshFwe>(std::move(context));
}

}  // namespace rattn
