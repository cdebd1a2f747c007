#include "models/tokenizer/hf_tokenizer.h"

#include <gmock/gmock.h>

#include "models/json_fields.h"
#include "models/tokenizer/test_folder.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Pieces a, b, ab, abab and "<s>".
Json SmallFile() {
  return Json::parse(R"({
    "added_tokens": [{"id": 5, "content": "<s>", "special": true}],
    "model": {"type": "BPE",
              "vocab": {"a": 0, "b": 1, "ab": 2, "abab": 3, "\u2581": 4},
              "merges": ["a b", ["ab", "ab"]]}})");
}

class HfTokenizerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Tokenizer> Load(const Json& file) const {
    folder_.Write("tokenizer.json", file.dump());
    return LoadTokenizer(folder_.path());
  }
  std::string ErrorOf(const Json& file) const {
    folder_.Write("tokenizer.json", file.dump());
    return folder_.LoadError();
  }

  TestFolder folder_;
};

TEST_F(HfTokenizerTest, MergesInOrderAndFindsAddedTokens) {
  const auto tokenizer = Load(SmallFile());
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  EXPECT_THAT(tokenizer->Encode("ababab<s>ba", true),
              ElementsAre(3, 2, 5, 1, 0));
  EXPECT_THAT(tokenizer->Encode("", true), IsEmpty());
  EXPECT_EQ(tokenizer->Piece(3), "abab");
  EXPECT_EQ(tokenizer->Piece(5), "<s>");
  EXPECT_THROW(tokenizer->Piece(6), UserError);
  EXPECT_THROW(tokenizer->Piece(-1), UserError);
  EXPECT_EQ(tokenizer->bos(), -1);
  EXPECT_FALSE(tokenizer->adds_bos());
}

TEST_F(HfTokenizerTest, IdsOutsideOfTheVocabularyDecodeToNothing) {
  const std::vector<int32_t> ids = {0, -1, 6, 1 << 30, 1};
  Json file = SmallFile();
  file["decoder"] = {{"type", "Fuse"}};
  EXPECT_EQ(Load(file)->Decode(ids, false), "ab");
}

TEST_F(HfTokenizerTest, SettingsDecideWhatIsAdded) {
  folder_.Write("tokenizer_config.json",
                R"({"bos_token": {"content": "<s>"}, "add_bos_token": true})");
  folder_.Write("special_tokens_map.json", R"({"eos_token": "b"})");
  const auto tokenizer = Load(SmallFile());
  EXPECT_EQ(tokenizer->bos(), 5);
  EXPECT_EQ(tokenizer->eos(), 1);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_THAT(tokenizer->Encode("a", true), ElementsAre(5, 0));
  EXPECT_THAT(tokenizer->Encode("a", false), ElementsAre(0));
}

TEST_F(HfTokenizerTest, SettingsThatNameNoTokenAreErrors) {
  folder_.Write("tokenizer_config.json", R"({"bos_token": "<none>"})");
  EXPECT_THAT(ErrorOf(SmallFile()), HasSubstr("<none>"));
  folder_.Write("tokenizer_config.json", R"({"add_bos_token": true})");
  EXPECT_THAT(ErrorOf(SmallFile()), HasSubstr("no bos_token"));
  folder_.Write("tokenizer_config.json", R"({"add_bos_token": "yes"})");
  EXPECT_THAT(ErrorOf(SmallFile()), HasSubstr("add_bos_token"));
}

TEST_F(HfTokenizerTest, FingerprintFollowsTheFiles) {
  const std::string before = Load(SmallFile())->fingerprint();
  EXPECT_EQ(before.size(), 64u);
  EXPECT_EQ(Load(SmallFile())->fingerprint(), before);
  Json changed = SmallFile();
  changed["model"]["merges"].erase(1);
  EXPECT_NE(Load(changed)->fingerprint(), before);
}

// A run of one letter is one word: what is quadratic would take minutes.
TEST_F(HfTokenizerTest, LongWordsAreQuick) {
  const auto tokenizer = Load(SmallFile());
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "ab";
  EXPECT_EQ(tokenizer->Encode(text, false).size(), 50'000u);
}

// So is a run of spaces when the token takes the spaces around it.
TEST_F(HfTokenizerTest, TokensInLongRunsOfSpacesAreQuick) {
  Json file = SmallFile();
  file["added_tokens"][0].update(
      {{"content", " "}, {"lstrip", true}, {"rstrip", true}});
  const auto ids = Load(file)->Encode(std::string(200'000, ' '), false);
  EXPECT_EQ(ids.size(), 200'000u);
}

// Each step makes two bytes of every one.
Json Doubling(int steps) {
  Json all = Json::array();
  for (int i = 0; i < steps; ++i) {
    all.push_back({{"type", "Replace"},
                   {"pattern", {{"String", "a"}}},
                   {"content", "aa"}});
  }
  return all;
}

TEST_F(HfTokenizerTest, TextsThatGrowAndGrowAreErrors) {
  Json file = SmallFile();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", Doubling(60)}};
  EXPECT_THROW(Load(file)->Encode("a", false), UserError);
  file["added_tokens"][0].update({{"content", "a"}, {"normalized", true}});
  EXPECT_THAT(ErrorOf(file), HasSubstr("over"));
  file = SmallFile();
  file["decoder"] = {{"type", "Sequence"}, {"decoders", Doubling(60)}};
  const std::vector<int32_t> ids = {0};
  EXPECT_THROW(Load(file)->Decode(ids, false), UserError);
}

TEST_F(HfTokenizerTest, TemplatesThatRepeatLongListsAreErrors) {
  Json file = SmallFile();
  Json& added = file["post_processor"];
  added = {{"type", "TemplateProcessing"},
           {"single", Json::array()},
           {"special_tokens", {{"q", {{"ids", std::vector<int>(100, 1)}}}}}};
  for (int i = 0; i < 100; ++i) {
    added["single"].push_back({{"SpecialToken", {{"id", "q"}}}});
  }
  added["single"].push_back({{"Sequence", {{"id", "A"}}}});
  EXPECT_THAT(ErrorOf(file), HasSubstr("more than 1024 ids"));
}

TEST_F(HfTokenizerTest, InvalidUtf8BecomesTheReplacementCharacter) {
  Json file = SmallFile();
  file["model"]["vocab"]["\uFFFD"] = 6;
  // A lone start, an overlong form, a surrogate, a cut-off sequence.
  EXPECT_THAT(
      Load(file)->Encode("a\xffz\xc0\x80\xed\xa0\x80\xf0\x9f\x98", false),
      ElementsAre(0, 6, 6, 6, 6, 6, 6, 6));
}

struct Broken {
  std::string at;  // a JSON pointer
  Json value;
  std::string says;
};

void PrintTo(const Broken& broken, std::ostream* out) {
  *out << broken.at << " = " << broken.value.dump().substr(0, 100);
}

class BrokenFile : public HfTokenizerTest,
                   public ::testing::WithParamInterface<Broken> {};

TEST_P(BrokenFile, IsAnErrorThatNamesIt) {
  Json file = SmallFile();
  file[Json::json_pointer(GetParam().at)] = GetParam().value;
  EXPECT_THAT(ErrorOf(file), HasSubstr(GetParam().says));
}

Json Split(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"}};
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BrokenFile,
    ::testing::Values(
        Broken{"/model/type", "Unigram", "Unigram"},
        Broken{"/model/vocab", Json::array(), "vocab"},
        Broken{"/model/merges", Json::object(), "merges"},
        Broken{"/model/vocab/a", "0", "whole number"},
        Broken{"/model/vocab/a", -1, "whole number"},
        Broken{"/model/vocab/a", 1, "id 1 twice"},
        Broken{"/model/vocab/a", uint64_t{1} << 40, "1099511627776"},
        Broken{"/model/merges", Json::parse(R"(["a x"])"), "\"x\""},
        Broken{"/model/merges", Json::parse(R"(["a"])"), "merges"},
        Broken{"/model/merges", Json::parse(R"(["a b c"])"), "merges"},
        Broken{"/model/merges", Json::parse(R"([["a"]])"), "merges"},
        Broken{"/model/merges", Json::parse(R"([["a", "b", "a"]])"), "merges"},
        Broken{"/model/merges", Json::parse(R"([[["a", "b"]]])"), "merges"},
        Broken{"/model/merges", Json::parse(R"(["b b"])"), "\"bb\""},
        Broken{"/model/merges", Json::parse("[{}]"), "merges"},
        Broken{"/model/unk_token", "<unk>", "<unk>"},
        Broken{"/model/dropout", 0.1, "dropout"},
        Broken{"/model", nullptr, "model"},
        Broken{"/added_tokens/0/id", uint64_t{1} << 30, "id"},
        Broken{"/added_tokens/0/content", 7, "content"},
        Broken{"/added_tokens/0/content", std::string(2000, 'x'), "content"},
        Broken{"/normalizer", {{"type", "Nmt"}}, "Nmt"},
        Broken{"/normalizer", {{"type", 5}}, "normalizer"},
        Broken{"/normalizer", {{"type", "Prepend"}}, "prepend"},
        Broken{
            "/pre_tokenizer", {{"type", "UnicodeScripts"}}, "UnicodeScripts"},
        Broken{"/pre_tokenizer", Split("(a"), "pattern"},
        Broken{"/pre_tokenizer", Split("[a[b]]"), "class within"},
        Broken{"/decoder", {{"type", "WordPiece"}}, "WordPiece"},
        Broken{"/post_processor", {{"type", "Other"}}, "Other"},
        Broken{"/post_processor",
               Json::parse(R"({"type": "TemplateProcessing", "single":
                   [{"SpecialToken": {"id": "q"}}, {"Sequence": {"id": "A"}}],
                   "special_tokens": {"q": {"ids": [77]}}})"),
               "77"}));

TEST_F(HfTokenizerTest, TextThatIsNoTokenizerFileIsAnError) {
  const std::string deep = std::string(500, '[') + std::string(500, ']');
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("1"),
        std::string("{\"model\": {\"vocab\": {\"a\""), deep,
        std::string("{\"a\": 1, \"a\": 2}"),
        std::string("{\"a\": \"\xff\"}")}) {
    folder_.Write("tokenizer.json", text);
    EXPECT_NE(folder_.LoadError(), "") << text.substr(0, 80);
  }
}

TEST(LoadTokenizerTest, SaysWhatIsMissing) {
  const TestFolder folder;
  EXPECT_THAT(folder.LoadError(), HasSubstr("neither"));
  EXPECT_THROW(LoadTokenizer(folder.path() + "/none"), UserError);
}

}  // namespace
}  // namespace rattn
