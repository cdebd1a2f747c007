#include "models/tokenizer/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>

#include "models/tokenizer/test_folder.h"
#include "models/tokenizer/test_sentencepiece.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using test_sentencepiece::Bytes;
using test_sentencepiece::Model;

class SentencePieceTest : public ::testing::Test {
 protected:
  std::unique_ptr<Tokenizer> Load() const {
    folder_.Write("tokenizer.model", Model());
    return LoadTokenizer(folder_.path());
  }
  TestFolder folder_;
};

TEST_F(SentencePieceTest, EncodesAndDecodes) {
  const auto tokenizer = Load();
  EXPECT_EQ(tokenizer->vocab_size(), 265);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_FALSE(tokenizer->adds_bos());
  // The dummy prefix, a merge, a user-defined piece, an unknown letter.
  const auto ids = tokenizer->Encode("ab\n\nb\u00e9", true);
  EXPECT_THAT(ids, ElementsAre(260, 263, 259, 262, 3 + 0xc3, 3 + 0xa9));
  EXPECT_EQ(tokenizer->Decode(ids, false), "ab\n\nb\u00e9");
  EXPECT_EQ(tokenizer->Piece(259), "\n\n");
}

TEST_F(SentencePieceTest, ControlPiecesAreFoundInTheText) {
  const auto tokenizer = Load();
  const auto ids = tokenizer->Encode("<s>a</s><unk>b", false);
  EXPECT_THAT(ids, ElementsAre(1, 264, 2, 0, 260, 262));
  EXPECT_EQ(tokenizer->Decode(ids, false), "<s>a</s><unk>b");
  EXPECT_EQ(tokenizer->Decode(ids, true), "ab");
}

TEST_F(SentencePieceTest, SettingsAddTokens) {
  folder_.Write("tokenizer_config.json", R"({"add_bos_token": true,
      "added_tokens_decoder": {"265": {"content": "<x>", "special": true}}})");
  const auto tokenizer = Load();
  EXPECT_EQ(tokenizer->vocab_size(), 266);
  EXPECT_THAT(tokenizer->Encode("<x>", true), ElementsAre(1, 265));
  EXPECT_EQ(tokenizer->Piece(265), "<x>");
}

TEST_F(SentencePieceTest, BytesThatAreNoTextAreReplaced) {
  const std::vector<int32_t> ids = {3 + 0xff, 261, -1, 10'000};
  EXPECT_EQ(Load()->Decode(ids, false), "\uFFFDa");
}

TEST_F(SentencePieceTest, BrokenModelsAreErrors) {
  const std::string model = Model();
  for (const std::string& bytes :
       {std::string(), std::string("not a model"), model.substr(0, 1000),
        std::string(64, '\xff'), Bytes(1, Bytes(1, "a"))}) {
    folder_.Write("tokenizer.model", bytes);
    EXPECT_NE(folder_.LoadError(), "");
  }
  folder_.Write("tokenizer.model", Model("table"));
  EXPECT_THAT(folder_.LoadError(), HasSubstr("normalization table"));
}

}  // namespace
}  // namespace rattn
