#include "tasks/files/pair_encoding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"
#include "tasks/files/fake_text_model.h"

namespace rattn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int32_t kBos = ByteTokenizer::kBos;

TEST(PairEncodingTest, WhiteSpaceAtTheEndGoesToTheContinuation) {
  const ByteTokenizer tokenizer;
  PairEncoder encoder(tokenizer, 100);
  const auto request = encoder.Encode("a \n", "b");
  EXPECT_THAT(request.context, ElementsAre('a'));
  EXPECT_THAT(request.continuation, ElementsAre(' ', '\n', 'b'));
}

TEST(PairEncodingTest, ContinuationIsTheWholeLessTheContext) {
  // "ab" is one token of the whole; lm-eval keeps the context's own tokens.
  const ByteTokenizer tokenizer(true, {"ab"});
  PairEncoder encoder(tokenizer, 100);
  const auto request = encoder.Encode("xa", "bcd");
  EXPECT_THAT(request.context, ElementsAre(kBos, 'x', 'a'));
  EXPECT_THAT(request.continuation, ElementsAre('c', 'd'));
  EXPECT_EQ(encoder.merged(), 0);
}

TEST(PairEncodingTest, TokenOverTheJoinIsSplitWhereBothDiffer) {
  const ByteTokenizer tokenizer(false, {"ab"});
  PairEncoder encoder(tokenizer, 100);
  const auto request = encoder.Encode("xa", "b");
  EXPECT_THAT(request.context, ElementsAre('x'));
  EXPECT_THAT(request.continuation, ElementsAre(ByteTokenizer::kFirstPair));
  const auto alone = encoder.Encode("a", "b");
  EXPECT_THAT(alone.context, ElementsAre(kBos));
  EXPECT_THAT(alone.continuation, ElementsAre(ByteTokenizer::kFirstPair));
  EXPECT_EQ(encoder.merged(), 2);
}

TEST(PairEncodingTest, EmptyContextIsBos) {
  for (const bool adds_bos : {false, true}) {
    const ByteTokenizer tokenizer(adds_bos);
    PairEncoder encoder(tokenizer, 100);
    EXPECT_THAT(encoder.Encode("", " b").context, ElementsAre(kBos));
    EXPECT_THAT(encoder.Encode("", " b").continuation, ElementsAre(' ', 'b'));
    EXPECT_THAT(encoder.Encode("", "<bos>b").continuation, ElementsAre('b'));
    EXPECT_THAT(encoder.EncodePrompt("", 1), ElementsAre(kBos));
  }
}

TEST(PairEncodingTest, BosIsNeverDoubled) {
  ByteTokenizer tokenizer(true);
  PairEncoder encoder(tokenizer, 100);
  EXPECT_THAT(encoder.Encode("<bos>a", "b").context, ElementsAre(kBos, 'a'));
  tokenizer.set_spelt_bos("[BOS]");  // the text's BOS is not seen as one
  EXPECT_THAT([&] { encoder.Encode("<bos>a", "b"); },
              ThrowsMessage<UserError>(HasSubstr("two BOS")));
}

TEST(PairEncodingTest, KeepsTheLastTokens) {
  const ByteTokenizer tokenizer;
  PairEncoder encoder(tokenizer, 3);
  const auto request = encoder.Encode("abcd", "ef");
  EXPECT_THAT(request.context, ElementsAre('c', 'd'));
  EXPECT_THAT(request.continuation, ElementsAre('e', 'f'));
  EXPECT_THAT(encoder.EncodePrompt("abcd", 1), ElementsAre('c', 'd'));
  EXPECT_EQ(encoder.truncated(), 2);
  EXPECT_THROW(encoder.Encode("a", "bcde"), RunError);
  EXPECT_THROW(encoder.EncodePrompt("a", 3), UserError);
}

}  // namespace
}  // namespace rattn
