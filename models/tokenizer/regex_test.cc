#include "models/tokenizer/regex.h"

#include <gmock/gmock.h>

#include "models/error.h"
#include "models/tokenizer/regex_syntax.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Matches(const std::string& pattern,
                                 const std::string& text) {
  std::vector<ByteRange> ranges;
  Regex(pattern, "file").FindAll(text, &ranges);
  std::vector<std::string> found;
  for (const ByteRange& range : ranges) {
    found.push_back(text.substr(range.begin, range.end - range.begin));
  }
  return found;
}

TEST(RegexTest, ClassesMeanWhatOnigurumaMeans) {
  // U+180E is white space to PCRE2 only; U+0301 and U+203F are word characters
  // to Oniguruma only.
  EXPECT_THAT(Matches("\\s", "a\u180e\u2003b"), ElementsAre("\u2003"));
  EXPECT_THAT(Matches("\\S+", "a\u180e\u2003"), ElementsAre("a\u180e"));
  EXPECT_THAT(Matches("[^\\s]+", "a\u180e\u2003"), ElementsAre("a\u180e"));
  EXPECT_THAT(Matches("\\w+", "e\u0301\u203f-1"),
              ElementsAre("e\u0301\u203f", "1"));
  EXPECT_THAT(Matches("\\h", "xF"), ElementsAre("F"));
  EXPECT_THAT(Matches("\\u0041", "A"), ElementsAre("A"));
  EXPECT_THAT(Matches("[]a]+", "b]a"), ElementsAre("]a"));
}

TEST(RegexTest, MatchesAreNeverEmptyAndInOrder) {
  EXPECT_THAT(Matches("a*", "baac"), ElementsAre("aa"));
  EXPECT_THAT(Matches("^", "a\nb"), IsEmpty());
  // Farther apart than one search looks.
  const std::string gap(1000, '-');
  EXPECT_THAT(Matches("x|\u00e9", "\u00e9" + gap + "x" + gap + "\u00e9"),
              ElementsAre("\u00e9", "x", "\u00e9"));
}

TEST(RegexTest, WhatIsNotTranslatedIsRefused) {
  for (const char* pattern : {"(", "[a&&b]", "[a[b]]", "a{1,2}+", "(?m:.)",
                              "(*UTF)a", "[\\W]", "\\p{Nonsense}", "\\C"}) {
    EXPECT_THROW(Regex(pattern, "file"), UserError) << pattern;
  }
  EXPECT_NO_THROW(Regex("\\p{L}+|a{2}|[[:alpha:]]++|(?i:'s)", "file"));
}

TEST(RegexTest, EndlessBacktrackingIsAnError) {
  EXPECT_THROW(Matches("(a+)+$", std::string(200, 'a') + "b"), UserError);
}

TEST(RegexTest, LongRunsAreQuick) {
  const std::string spaces(300'000, ' ');
  EXPECT_EQ(Matches("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces + "x").size(), 2u);
}

}  // namespace
}  // namespace rattn
