#include "tasks/ruler_text/token_counter.h"

#include <gtest/gtest.h>

#include "tasks/ruler_text/fake_tokenizer.h"

namespace rattn {
namespace {

constexpr std::string_view kText =
    "One  two three,\nfour. \xc3\xa9t\xc3\xa9 is here 123 times; \"yes\"  ";

TEST(TokenCounterTest, SumsOfWordsAreTheWhole) {
  const FakeTokenizer tokenizer;
  CachedTokenCounter counter(&tokenizer);
  const int64_t whole =
      static_cast<int64_t>(tokenizer.Encode(kText, false).size());
  // The first counts are of whole texts, later ones of pieces.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(counter.Count(kText), whole);
  EXPECT_FALSE(counter.wrong());
}

// Tokens of pairs of words: no cut at a space is right.
class PairTokenizer : public FakeTokenizer {
 public:
  std::vector<int32_t> Encode(std::string_view text, bool) const override {
    const auto spaces = std::count(text.begin(), text.end(), ' ');
    return std::vector<int32_t>(spaces / 2 + 1);
  }
};

TEST(TokenCounterTest, NoticesTokensAcrossWordsAndThenCountsWholeTexts) {
  const PairTokenizer tokenizer;
  CachedTokenCounter counter(&tokenizer);
  const std::string text = "a b c d e f g h i j k l m n o p q r s t u v w x";
  counter.Count(text);
  EXPECT_TRUE(counter.wrong());
  counter.Restart();
  EXPECT_FALSE(counter.wrong());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(counter.Count(text), 12);
  EXPECT_FALSE(counter.wrong());
}

TEST(TokenCounterTest, WhatWrongCountsWentIntoIsMadeAnew) {
  const PairTokenizer tokenizer;
  CachedTokenCounter counter(&tokenizer);
  const std::string text = "a b c d e f g h i j k l m n o p q r s t u v w x";
  int made = 0;
  const auto count = [&] {
    ++made;
    return counter.Count(text);
  };
  EXPECT_EQ(WithRightCounts(&counter, count), 12);
  EXPECT_EQ(made, 2);
  EXPECT_EQ(WithRightCounts(&counter, count), 12);
  EXPECT_EQ(made, 3);
}

}  // namespace
}  // namespace rattn
