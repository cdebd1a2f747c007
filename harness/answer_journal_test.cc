#include "harness/answer_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/program_test_util.h"
#include "models/error.h"

namespace rattn {
namespace {

const std::string kFirst(64, 'a'), kSecond(64, 'b'), kThird(64, 'c');

class AnswerJournalTest : public testing::Test {
 protected:
  std::string Path() const { return folder_ / "deep/journal.jsonl"; }
  std::optional<TextAnswer> FindIn(AnswerJournal& journal,
                                   const std::string& key) {
    return journal.Find(key, TextRequest{});
  }
  void Append(const std::string& text) {
    std::ofstream(Path(), std::ios::app) << text;
  }
  TemporaryFolder folder_;
};

TEST_F(AnswerJournalTest, AnswersComeBackBitForBit) {
  {
    AnswerJournal journal(Path());
    journal.Add(kFirst, {-1.0 / 3, true, ""});
    journal.Add(kSecond, {0, false, "a \"text\"\nof é"});
  }
  AnswerJournal journal(Path());
  EXPECT_EQ(journal.size(), 2u);
  EXPECT_EQ(FindIn(journal, kFirst)->log_likelihood, -1.0 / 3);
  EXPECT_TRUE(FindIn(journal, kFirst)->is_greedy);
  EXPECT_EQ(FindIn(journal, kSecond)->text, "a \"text\"\nof é");
  EXPECT_FALSE(FindIn(journal, kThird));
}

TEST_F(AnswerJournalTest, TornLastLineIsIgnoredAndNotJoined) {
  { AnswerJournal(Path()).Add(kFirst, {-2, false, ""}); }
  const std::string whole = FileText(Path());
  Append("{\"key\":\"" + kSecond + "\",\"log_likel");
  {
    AnswerJournal journal(Path());
    EXPECT_EQ(journal.size(), 1u);
    EXPECT_FALSE(FindIn(journal, kSecond));
    journal.Add(kThird, {-3, false, ""});
  }
  EXPECT_TRUE(FileText(Path()).starts_with(whole)) << "only ever added to";
  AnswerJournal journal(Path());
  EXPECT_EQ(journal.size(), 2u);
  EXPECT_EQ(FindIn(journal, kThird)->log_likelihood, -3);
}

TEST_F(AnswerJournalTest, ForeignLinesAreIgnored) {
  { AnswerJournal journal(Path()); }
  Append("\n[]\nnull\n{\"key\":5}\n{\"key\":\"short\",\"text\":\"x\"}\n");
  Append("{\"key\":\"" + kFirst + "\",\"log_likelihood\":\"x\"}\n");
  Append("{\"key\":\"" + kSecond +
         "\",\"log_likelihood\":1e999,"
         "\"greedy\":true}\n");
  EXPECT_EQ(AnswerJournal(Path()).size(), 0u);
}

TEST_F(AnswerJournalTest, TwoWritersShareAFile) {
  {
    AnswerJournal one(Path()), two(Path());
    for (int i = 0; i < 200; ++i) {
      const std::string tail = std::to_string(1000 + i);
      one.Add(std::string(60, '1') + tail, {-1, false, ""});
      two.Add(std::string(60, '2') + tail, {-2, true, ""});
    }
  }
  EXPECT_EQ(AnswerJournal(Path()).size(), 400u);
}

TEST_F(AnswerJournalTest, FolderIsRefused) {
  EXPECT_THROW(AnswerJournal(folder_.path()), UserError);
}

}  // namespace
}  // namespace rattn
