// Every expectation was checked against lm-eval's own filters and metrics.
#include "tasks/files/answer_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tasks/files/text_metrics.h"

namespace rattn {
namespace {

using testing::ElementsAre;

TEST(AnswerTextTest, NumberAfterHashes) {
  EXPECT_EQ(NumberAfterHashes("so\n#### -1,234.50 dollars"), "-1,234.50");
  EXPECT_EQ(NumberAfterHashes("#### x #### 7"), "7");
  EXPECT_EQ(NumberAfterHashes("#### -\n"), "[invalid]");
  EXPECT_EQ(NumberAfterHashes("####7"), "[invalid]");
}

TEST(AnswerTextTest, NumberAfterTheAnswerIsNeedsOneMoreCharacter) {
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is 18"), "1");
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is 8"), "[invalid]");
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is 18."), "18");
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is 5. "), "5.");
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is 18\n"), "1");
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is -8"), "[invalid]");
  EXPECT_EQ(NumberAfterTheAnswerIs("The answer is 8 The answer is 9."), "8");
}

TEST(AnswerTextTest, LastNumber) {
  EXPECT_EQ(LastNumber("so 18, then..."), "...");
  EXPECT_EQ(LastNumber("x=5 .. ok"), "..");
  EXPECT_EQ(LastNumber("The answer is 5."), "5.");
  EXPECT_EQ(LastNumber("10.."), "10..");
  EXPECT_EQ(LastNumber("a 7 b"), "7");
  EXPECT_EQ(LastNumber("a -7 b"), "-7");
  EXPECT_EQ(LastNumber("is -$7, no"), "-$7,");
  EXPECT_EQ(LastNumber("a . , $"), "[invalid]");
}

TEST(AnswerTextTest, NormalizeNumbers) {
  EXPECT_THAT(NormalizeNumbers({"so\nthen\n#### 1,234.", "$5", "10..", "5.\n"}),
              ElementsAre("1234", "5", "10.", "5\n"));
  EXPECT_THAT(NormalizeNumbers({"[Invalid]"}), ElementsAre("[invalid]"));
}

TEST(AnswerTextTest, NormalizePunctuationKeepsInnerSpaces) {
  EXPECT_THAT(NormalizePunctuation({"The U.S.A", "a - b"}),
              ElementsAre("the usa", "a  b"));
}

TEST(AnswerTextTest, FixedWidthCutsLettersThatExpand) {
  EXPECT_THAT(NormalizePunctuation({"İstanbul"}), ElementsAre("i̇stanbu"));
  EXPECT_THAT(NormalizePunctuation({"İstanbul", "Constantinople"}),
              ElementsAre("i̇stanbul", "constantinople"));
}

TEST(AnswerTextTest, StopsCutInTheirOrder) {
  const std::vector<std::string> stops = {"\n", "", "."};
  EXPECT_EQ(CutAtStops("a.b\nc", stops), "a");
  EXPECT_EQ(CutAtStops("abc", stops), "abc");
  EXPECT_EQ(StripAnswer(" \xc2\xa0 a "), "a");
}

}  // namespace
}  // namespace rattn
