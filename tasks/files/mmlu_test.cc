#include "tasks/files/mmlu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/shared_data.h"
#include "tasks/files/task_files_test_util.h"
#include "tasks/files/text_requests.h"
#include "tasks/files/text_task_list.h"

namespace rattn {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class MmluTest : public TaskFilesTest {
 protected:
  void SetUp() override {
    Write("mmlu/data/dev/anatomy_dev.csv", "\" Bone? \",a,b,c,NA,D\n");
    Write("mmlu/data/test/anatomy_test.csv", "\" Skin? \",1,\"2,\",4 ,5,B\n");
  }
  std::string Prompt(const TextTask& task) {
    return *MakeRequests(task, task.documents[0], {&task.shots[0]}, {},
                         [](const std::string&) { return 0; })[0]
                .context;
  }
};

TEST_F(MmluTest, PromptsOfThePresets) {
  const std::string rest =
      "anatomy.\n\nBone?\nA. a\nB. b\nC. c\nD. NA\nAnswer: D\n\n"
      "Skin?\nA. 1\nB. 2,\nC. 4 \nD. 5\nAnswer:";
  const std::string head =
      "The following are multiple choice questions (with answers) about ";
  EXPECT_EQ(Prompt(Load("mmlu_anatomy")), head + rest);
  EXPECT_EQ(Prompt(Load("mmlu_leaderboard_anatomy")), head + rest);
  // Two spaces, and the question as it stands.
  EXPECT_EQ(Prompt(Load("mmlu_original_anatomy")),
            head +
                " anatomy.\n\n Bone? \nA. a\nB. b\nC. c\nD. NA\nAnswer: D\n\n"
                " Skin? \nA. 1\nB. 2,\nC. 4 \nD. 5\nAnswer:");
  EXPECT_EQ(Load("mmlu_anatomy").default_shots, 0);
  EXPECT_EQ(Load("mmlu_leaderboard_anatomy").default_shots, 5);
  EXPECT_EQ(Load("mmlu_original_anatomy").most_prompt_tokens, 2048);
}

TEST_F(MmluTest, JsonlIsReadToo) {
  std::filesystem::remove_all(folder_);
  const std::string rows =
      R"({"question": "Q?", "subject": "anatomy", "choices": ["1", "2", "3", "4"], "answer": 2})"
      "\n"
      R"({"question": "P?", "subject": "virology", "choices": ["1", "2", "3", "4"], "answer": 0})"
      "\n";
  Write("mmlu/test.jsonl", rows);
  Write("mmlu/dev.jsonl", rows);
  const TextTask task = Load("mmlu_anatomy");
  ASSERT_EQ(task.documents.size(), 1u);
  EXPECT_EQ(task.documents[0].gold, std::vector<size_t>{2});
  EXPECT_EQ(task.shot_source, "mmlu/dev.jsonl");
  EXPECT_THAT([&] { Load("mmlu_astronomy"); },
              ThrowsMessage<UserError>(HasSubstr("no rows of the subject")));
}

TEST_F(MmluTest, ErrorsNameFileAndLine) {
  Write("mmlu/data/test/anatomy_test.csv", "a,1,2,3,4,B\nb,1,2,3,4,E\n");
  EXPECT_THAT([&] { Load("mmlu_anatomy"); },
              ThrowsMessage<UserError>(HasSubstr("anatomy_test.csv:2: must")));
  EXPECT_THAT([&] { Load("mmlu_virology"); },
              ThrowsMessage<UserError>(
                  HasSubstr("no mmlu/data/test/virology_test.csv nor")));
  EXPECT_THAT([&] { Load("mmlu_virolog"); },
              ThrowsMessage<UserError>(HasSubstr("mmlu_virology")));
}

TEST(MmluSharedTest, HeadersAndCategories) {
  RATTN_SKIP_WITHOUT_SHARED_DATA();
  DataFolder data(SharedData());
  const auto header = [&](const char* name) {
    return LoadTextSuite({name}, &data).tasks.at(0).description;
  };
  const std::string lm_eval = header("mmlu_abstract_algebra");
  EXPECT_EQ(lm_eval.size(), 84u);
  EXPECT_EQ(Sha256Hex(lm_eval).substr(0, 16), "c1c58478d384375d");
  const std::string original = header("mmlu_original_abstract_algebra");
  EXPECT_EQ(original.size(), 85u);
  EXPECT_EQ(Sha256Hex(original).substr(0, 16), "8abc37f00ea33634");
  const auto size = [&](const char* name) {
    size_t documents = 0;
    for (const auto& task : LoadTextSuite({name}, &data).tasks) {
      EXPECT_EQ(task.shots.size(), 5u) << task.name;
      documents += task.documents.size();
    }
    return documents;
  };
  EXPECT_EQ(size("mmlu_stem"), 3153u);
  EXPECT_EQ(size("mmlu_humanities"), 4705u);
  EXPECT_EQ(size("mmlu_social_sciences"), 3077u);
  EXPECT_EQ(size("mmlu_other"), 3107u);
  // anatomy's 135 are elsewhere.
  EXPECT_EQ(size("mmlu_original_stem"), 3018u);
  EXPECT_EQ(size("mmlu_original_other"), 3242u);
}

}  // namespace
}  // namespace rattn
