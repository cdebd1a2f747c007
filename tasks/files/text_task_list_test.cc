#include "tasks/files/text_task_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/shared_data.h"
#include "tasks/files/task_files_test_util.h"
#include "tasks/files/text_requests.h"
#include "tasks/files/text_task_loaders.h"

namespace rattn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

class TextTaskListTest : public TaskFilesTest {
 protected:
  void ExpectError(const std::string& name, const std::string& part) {
    EXPECT_THAT([&] { Load(name); }, ThrowsMessage<UserError>(HasSubstr(part)));
  }
};

TEST_F(TextTaskListTest, MissingFilesAreNamed) {
  for (const TextTaskEntry& entry : TextTaskList()) {
    ExpectError(std::string(entry.name), "no ");
    EXPECT_FALSE(entry.files.empty());
  }
  ExpectError("gsm8k", "no gsm8k/train.jsonl there");
  ExpectError("hella", "did you mean \"hellaswag\"");
}

TEST_F(TextTaskListTest, BadRowsAreNamed) {
  Write("lambada/lambada_test.jsonl", "{\"text\": \"a b\"}\n\n{\"text\": 5}\n");
  ExpectError("lambada", "lambada_test.jsonl:3: \"text\" must be a string");
  Write("lambada/lambada_test.jsonl", "{\"text\": \"a b\"}\n[1]\n");
  ExpectError("lambada", "lambada_test.jsonl:2: must be a JSON object");
  Write("lambada/lambada_test.jsonl", "{\"text\"\n");
  ExpectError("lambada", "lambada_test.jsonl:1");
  Write("sciq/test.json", "[{}]");
  ExpectError("sciq", "test.json: item 0: \"distractor1\" is missing");
}

TEST_F(TextTaskListTest, GemmaCppsQuestionsHoldTheirShots) {
  const auto write = [&](int label) {
    Write("gemma_cpp_mmlu/mmlu.json",
          R"({"samples": [{"i": 23, "prompt": "P\n\nAnswer:", "topic": "t",
                           "options": [" A", " B"], "input_label": )" +
              std::to_string(label) + "}]}");
  };
  write(1);
  const TextTask task = Load("gemma_cpp_mmlu");
  ASSERT_EQ(task.documents.size(), 1u);
  EXPECT_EQ(task.documents[0].text, "P\n\nAnswer:");
  EXPECT_THAT(task.documents[0].choices, ElementsAre("A", "B"));
  EXPECT_THAT(task.documents[0].gold, ElementsAre(1u));
  write(2);
  ExpectError("gemma_cpp_mmlu", "\"input_label\" must be");
}

TEST_F(TextTaskListTest, PiqaNeedsALabelForEachRow) {
  const std::string row =
      "{\"goal\": \"g\", \"sol1\": \"s\", \"sol2\": \"t\"}\n";
  for (const char* split : {"valid", "train"}) {
    Write(std::string("piqa/") + split + ".jsonl", row + row);
    Write(std::string("piqa/") + split + "-labels.lst", "0\n1\n");
  }
  EXPECT_EQ(Load("piqa").documents[1].gold, std::vector<size_t>{1});
  Write("piqa/valid-labels.lst", "0\n2\n");
  ExpectError("piqa", "valid-labels.lst:2: must be an integer from 0 to 1");
  Write("piqa/valid-labels.lst", "0\n");
  ExpectError("piqa", "has 2 rows, piqa/valid-labels.lst has 1 labels");
}

TEST_F(TextTaskListTest, HellaSwagIsCleaned) {
  const std::string row =
      R"({"ind": 1, "activity_label": " Cut", "ctx_a": "[header] A [title] b.",)"
      R"( "ctx_b": "iPhone McDonald", "ctx": "c", "split": "val",)"
      R"( "split_type": "x", "label": 1, "source_id": "s",)"
      R"( "endings": ["a   b", "[step] c [x", "d]", " é "]})"
      "\n";
  Write("hellaswag/hellaswag_val.jsonl", row);
  Write("hellaswag/hellaswag_train.jsonl", row);
  const TextTask task = Load("hellaswag");
  EXPECT_EQ(task.documents[0].text, "Cut: A. b. Iphone mcdonald");
  EXPECT_THAT(task.documents[0].choices,
              ElementsAre("a  b", " c [x", "d]", "é"));
  EXPECT_TRUE(task.leave_one_out);
}

TEST_F(TextTaskListTest, LambadaSplitsAtTheLastSpace) {
  Write("lambada/lambada_test.jsonl",
        "{\"text\": \"a b\\nc d\"}\n{\"text\": \"word\"}\n");
  const TextTask task = Load("lambada_openai");
  EXPECT_EQ(task.documents[0].text, "a b\nc");
  EXPECT_EQ(task.documents[0].target, " d");
  EXPECT_EQ(task.documents[1].text, "");
  // Two spaces before the last word of a shot.
  EXPECT_EQ(PromptHead(task, {&task.documents[0]}), "a b\nc  d\n\n");
}

TEST_F(TextTaskListTest, WebQuestionsKeepNoAnswerThatAnotherBegins) {
  const std::string file =
      R"json([{"url": "u", "utterance": "q?", "targetValue":)json"
      R"json( "(list (description \"The \"B\" side\"))json"
      R"json( (description Ab) (description Abc) (description A))"}])json";
  Write("webquestions/webquestions.examples.test.json", file);
  Write("webquestions/webquestions.examples.train.json", file);
  const TextTask task = Load("webqs");
  EXPECT_THAT(task.documents[0].choices, ElementsAre("A", "The \"B\" side"));
  EXPECT_EQ(task.documents[0].target_text, "[0, 1]");
  EXPECT_EQ(task.documents[0].row["answers"].size(), 4u);
  EXPECT_THROW(ShotDrawer(task, {1}), UserError);
  const TextTask own = Load("webqs_generative");
  EXPECT_EQ(own.name, "rattn_webqs_generative");
  EXPECT_EQ(own.documents[0].references.size(), 4u);
  EXPECT_EQ(own.default_shots, 1);
  Write(
      "webquestions/webquestions.examples.test.json",
      R"json([{"url": "u", "utterance": "q?", "targetValue": "(list)"}])json");
  ExpectError("webqs", "item 0: \"targetValue\" must be");
}

TEST_F(TextTaskListTest, ChainsOfThoughtAreLmEvals) {
  Write("gsm8k/test.jsonl",
        "{\"question\": \"Q?\", \"answer\": \"so\\n#### 1,200 \"}\n");
  const TextTask task = Load("gsm8k_cot");
  EXPECT_EQ(task.documents[0].target, "1,200");
  std::vector<const TextDocument*> shots;
  for (const TextDocument& shot : task.shots) shots.push_back(&shot);
  const std::string block = PromptHead(task, shots);
  EXPECT_EQ(block.size(), 2141u);
  EXPECT_EQ(Sha256Hex(block).substr(0, 16), "3d55795c084e26f6");
  EXPECT_EQ(task.file_hashes.size(), 2u);
}

TEST(TextTaskListSharedTest, WebQuestionsAnswersAreThoseOfTheSplitFile) {
  RATTN_SKIP_WITHOUT_SHARED_DATA();
  DataFolder data(SharedData());
  const auto rows = data.JsonArray("webquestions/brmson_main_test.json");
  const auto suite = LoadTextSuite({"rattn_webqs_generative"}, &data);
  const auto& documents = suite.tasks[0].documents;
  ASSERT_EQ(rows.size(), documents.size());
  int differ = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    differ += rows[i].Texts("answers") != documents[i].references;
  }
  EXPECT_EQ(differ, 5);  // nested quotes, read otherwise there
}

}  // namespace
}  // namespace rattn
