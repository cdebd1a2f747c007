#include "tasks/ruler_text/sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "models/error.h"
#include "models/sha256.h"
#include "models/shared_test_util.h"
#include "tasks/python_text.h"
#include "tasks/ruler_text/small_sources.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WordPairsTest, EqualsTheSortedListOfAllPairs) {
  const std::vector<std::string> adjectives = {"well-known", "old", "well",
                                               "a",          "old", "we"};
  const std::vector<std::string> nouns = {"known-b", "a", "z", "known", "a"};
  std::set<std::string> all;
  for (const std::string& a : adjectives) {
    for (const std::string& n : nouns) all.insert(a + "-" + n);
  }
  const WordPairs pairs(adjectives, nouns);
  ASSERT_EQ(pairs.size(), all.size());
  size_t i = 0;
  for (const std::string& pair : all) EXPECT_EQ(pairs.at(i++), pair);
}

TEST(WordPairsTest, SharedListsHaveTheKnownSizes) {
  RATTN_SHARED_OR_SKIP(path, "data/wonderwords/nounlist.txt");
  RulerSources sources({SharedPath("data").string(), "", "", ""});
  EXPECT_EQ(sources.pairs().size(), 6171620u);
  EXPECT_EQ(sources.words().size(), 8166u);
}

TEST(HaystackTest, CutsAndRepeatsSentences) {
  const Haystack haystack = Haystack::FromText(
      "  Mr. Hill  said:\n\"Go!\" He went. Why? J. B. knew ");
  // The last word of a text that ends with white space is empty.
  EXPECT_EQ(haystack.words(), 12);
  EXPECT_THAT(
      haystack.Cut(0, 12),
      ElementsAre("Mr. Hill said: \"Go!\"", "He went.", "Why?", "J. B. knew"));
  EXPECT_THAT(Haystack::FromText("So \"yes.\"--It's his. Us").Cut(0, 5),
              ElementsAre("So \"yes.\"", "--It's his.", "Us", "So"));
  EXPECT_THAT(haystack.Cut(0, 6), ElementsAre("Mr. Hill said: \"Go!\"", "He"));
  EXPECT_THAT(haystack.Cut(8, 6), ElementsAre("J. B. knew", "Mr."));
  EXPECT_EQ(haystack.SentenceWord(2), 7);
  EXPECT_THROW(Haystack::FromText(" \n"), UserError);
}

TEST(HaystackTest, TableOfSentencesIsUsedAndChecked) {
  const SmallSources small;
  small.Write("h.txt", "A bb. C\xc3\xa9 dd ee. F");
  const auto table = [&](const std::string& hash, Json spans) {
    small.Write(
        "t.json",
        Json{{"words", 5}, {"text_sha256", hash}, {"punkt", std::move(spans)}}
            .dump());
    return Haystack::Load(small.folder() + "/h.txt",
                          small.folder() + "/t.json");
  };
  const std::string hash = Sha256Hex("A bb. C\xc3\xa9 dd ee.");
  // Code points: the letter of two bytes counts once.
  EXPECT_THAT(table(hash, {{0, 1}, {2, 8}, {9, 15}}).Cut(0, 6),
              ElementsAre("A", "bb. C\xc3\xa9", "dd ee.", "F"));
  EXPECT_THROW(table(Sha256Hex("x"), {{0, 1}}), UserError);
  EXPECT_THROW(table(hash, {{0, 4}, {3, 7}}), UserError);
  EXPECT_THROW(table(hash, {{0, 99}}), UserError);
  EXPECT_THROW(table(hash, {{-1, 4}}), UserError);
}

// How well the rule stands in for Punkt where there is no table.
TEST(HaystackTest, RuleAgreesWithPunktAtMostPlaces) {
  RATTN_SHARED_OR_SKIP(path, "data/ruler/sentence_spans.json");
  const Json table = SharedJson(path);
  const std::string essays =
      ReadTextFile(SharedPath("data/haystack/essays.txt").string());
  const Haystack haystack = Haystack::FromText(essays);
  std::set<int64_t> ours, punkt;
  int64_t at = 0;
  const char* last = nullptr;
  for (const std::string_view sentence :
       haystack.Cut(0, table["words"].get<int64_t>())) {
    if (last != nullptr) at += CodePoints({last, sentence.data()});
    last = sentence.data();
    ours.insert(at);
  }
  for (const Json& span : table["punkt"]) punkt.insert(span[0].get<int64_t>());
  std::vector<int64_t> both;
  std::set_intersection(ours.begin(), ours.end(), punkt.begin(), punkt.end(),
                        std::back_inserter(both));
  const double shared = static_cast<double>(both.size());
  EXPECT_GT(shared / static_cast<double>(ours.size()), 0.9995);
  EXPECT_GT(shared / static_cast<double>(punkt.size()), 0.9995);
}

TEST(TemplatesTest, FormatsLikePython) {
  EXPECT_EQ(FormatTemplate("{{{a}}} {b}{a}", {{"a", "1"}, {"b", "{a}"}}),
            "{1} {a}1");
  EXPECT_THROW(FormatTemplate("{c}", {{"a", "1"}}), UserError);
  EXPECT_THROW(FormatTemplate("{a", {{"a", "1"}}), UserError);
  EXPECT_EQ(Singular("Some answers are all we are"), "A answer is we is");
}

TEST(TemplatesTest, SharedTemplatesHaveThePublishedHashes) {
  RATTN_SHARED_OR_SKIP(path, "data/ruler/templates.json");
  const RulerTemplates templates = LoadRulerTemplates(path.string());
  const auto check = [](const std::string& text, size_t size,
                        const std::string& hash) {
    EXPECT_EQ(text.size(), size);
    EXPECT_EQ(Sha256Hex(text).substr(0, 16), hash);
  };
  check(templates.niah.text, 253, "b373c00e238df12b");
  check(templates.niah.prefix, 81, "994f3a46e763414f");
  check(templates.vt.text, 179, "fcfaf2eab2bc3e35");
  check(templates.vt.prefix, 137, "4a4e9010ec4141a3");
  check(templates.cwe.text, 201, "45fff5d17627b65a");
  check(templates.cwe.prefix, 65, "8ee526599bbc7372");
  check(templates.fwe.text, 284, "a0c7b873cf500d6c");
  check(templates.fwe.prefix, 89, "9a72271c5762c96d");
  check(templates.qa.text, 284, "18a659c9723f24f1");
  check(templates.qa.prefix, 8, "255204f061d7e266");
  check(templates.noise_unit, 89, "c2fcf70de6081e6f");
  check(templates.needle, 63, "8b1728a938426e42");
}

TEST(SourcesTest, MissingAndBrokenFilesAreNamed) {
  RulerSources nothing({"/nonexistent", "", "", ""});
  try {
    nothing.templates();
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("ruler/templates.json"));
  }
  EXPECT_THROW(nothing.haystack(), UserError);
  EXPECT_THROW(nothing.hotpot(), UserError);
  const SmallSources small;
  small.Write("squad.json", R"({"data": [{"paragraphs": [{"context": 3}]}]})");
  small.Write("hotpotqa.json", R"([{"question": "q", "context": [["t"]]}])");
  small.Write("templates.json", R"({"tasks": {"niah": {"template": "x"}}})");
  small.Write("english_words.json", R"({"a": ["b"]})");
  RulerSources broken = small.Open();
  EXPECT_THROW(broken.squad(), UserError);
  EXPECT_THROW(broken.hotpot(), UserError);
  EXPECT_THROW(broken.templates(), UserError);
  EXPECT_THROW(broken.english(), UserError);
}

TEST(SourcesTest, EnglishWordsKeepTheOrderOfTheFile) {
  const SmallSources small;
  small.Write("english_words.json", R"({"2": "b", "1": "a", "10": "c"})");
  RulerSources sources = small.Open();
  EXPECT_THAT(sources.english(), ElementsAre("b", "a", "c"));
}

TEST(QaSetTest, UnanswerableQuestionsAreLeftOut) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const QaSet& squad = sources.squad();
  EXPECT_EQ(squad.questions.size(), 60u);
  EXPECT_EQ(squad.questions[0].related.size(), 5u);
  EXPECT_THAT(squad.questions[0].answers, ElementsAre("region0", "region0"));
  const QaSet& hotpot = sources.hotpot();
  EXPECT_EQ(hotpot.questions[1].gold.size(), 10u);
  EXPECT_EQ(hotpot.questions[1].needed, hotpot.questions[1].gold);
  EXPECT_THAT(
      hotpot.questions[2].needed,
      ElementsAre(hotpot.questions[2].gold[3], hotpot.questions[2].gold[7]));
  EXPECT_EQ(hotpot.documents[hotpot.questions[1].gold[2]],
            "Title 1x2\nFirst of 1x2. Colour1x2 was seen.");
}

}  // namespace
}  // namespace rattn
