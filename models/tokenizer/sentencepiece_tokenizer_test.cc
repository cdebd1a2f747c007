#include "models/tokenizer/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>

#include "models/tokenizer/test_folder.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Fields of a protobuf message.
std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string Number(int field, uint64_t value) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(value);
}
std::string Bytes(int field, const std::string& value) {
  return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(value.size()) +
         value;
}
std::string Piece(const std::string& text, float score, int type) {
  char bytes[sizeof score];
  std::memcpy(bytes, &score, sizeof score);
  return Bytes(1, Bytes(1, text) + Varint(2 << 3 | 5) +
                      std::string(bytes, sizeof score) + Number(3, type));
}

constexpr int kNormal = 1, kUnknown = 2, kControl = 3, kUser = 4, kByte = 6;

// 0 <unk>, 1 <s>, 2 </s>, 3..258 bytes, 259 user-defined "\n\n", 260 U+2581,
// 261 a, 262 b, 263 ab, 264 U+2581 "a".
std::string Model(const std::string& chars_map = "") {
  std::string model = Piece("<unk>", 0, kUnknown) + Piece("<s>", 0, kControl) +
                      Piece("</s>", 0, kControl);
  for (int byte = 0; byte < 256; ++byte) {
    model += Piece(fmt::format("<0x{:02X}>", byte), 0, kByte);
  }
  model += Piece("\n\n", 0, kUser);
  float score = -1;
  for (const char* text : {"\u2581", "a", "b", "ab", "\u2581a"}) {
    model += Piece(text, score--, kNormal);
  }
  model += Bytes(2, Number(3, 2) + Number(35, 1));  // BPE with byte fallback
  std::string normalizer = Bytes(1, "identity") + Number(3, 1) + Number(4, 0);
  if (!chars_map.empty()) normalizer += Bytes(2, chars_map);
  return model + Bytes(3, normalizer);
}

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
