// Whatever happens to a data file, reading it succeeds or says in one line
// what is wrong.
#include <gtest/gtest.h>

#include <string>

#include "models/damage.h"
#include "models/scratch_folder.h"
#include "tasks/files/text_task_list.h"
#include "tasks/ruler_text/make_data.h"
#include "tasks/ruler_text/small_sources.h"

namespace rattn {
namespace {

class DamagedDataTest : public testing::Test {
 protected:
  // The task is made of `name`, damaged, and of what is there.
  void LoadDamaged(const std::string& task, const std::string& name,
                   const std::string& text) const {
    ReadDamaged(text, 500, [&](const std::string& bytes) {
      folder_.Write(name, bytes);
      DataFolder data(folder_.path());
      LoadTextSuite({task}, &data);
    });
    folder_.Write(name, text);
  }
  const ScratchFolder folder_;
};

TEST_F(DamagedDataTest, Csv) {
  const std::string rows =
      "\"Which, of \"\"these\"\"\nis 1?\",a,b,c,d,B\r\nq,1,2,3,4,D\n";
  for (const char* split : {"dev", "test"}) {
    folder_.Write(
        std::string("mmlu/data/") + split + "/anatomy_" + split + ".csv", rows);
  }
  LoadDamaged("mmlu_anatomy", "mmlu/data/test/anatomy_test.csv", rows);
}

TEST_F(DamagedDataTest, Jsonl) {
  LoadDamaged("lambada", "lambada/lambada_test.jsonl",
              "{\"text\": \"a b\"}\n\n{\"text\": \"c \u00e9 d\"}\n");
  const std::string rows =
      "{\"goal\": \"g\", \"sol1\": \"s\", \"sol2\": \"t\"}\n";
  for (const std::string split : {"valid", "train"}) {
    folder_.Write("piqa/" + split + ".jsonl", rows + rows);
    folder_.Write("piqa/" + split + "-labels.lst", "0\n1\n");
  }
  LoadDamaged("piqa", "piqa/valid.jsonl", rows + rows);
  LoadDamaged("piqa", "piqa/valid-labels.lst", "0\n1\n");
}

TEST_F(DamagedDataTest, Json) {
  const std::string rows =
      R"json([{"url": "u", "utterance": "q?", "targetValue":)json"
      R"json( "(list (description \"B 1\") (description A))"}])json";
  for (const char* split : {"test", "train"}) {
    folder_.Write(
        std::string("webquestions/webquestions.examples.") + split + ".json",
        rows);
  }
  LoadDamaged("webqs", "webquestions/webquestions.examples.test.json", rows);
}

TEST(DamagedRulerTest, Templates) {
  const SmallSources small;
  ReadDamaged(SmallTemplates().dump(), 1000, [&](const std::string& bytes) {
    small.Write("templates.json", bytes);
    LoadRulerTemplates(small.folder() + "/templates.json");
  });
}

TEST(DamagedRulerTest, DataFile) {
  const SmallSources small;
  const std::string line = RulerDataFile({RulerTextSample{}});
  ReadDamaged(line + line, 500, [&](const std::string& bytes) {
    small.Write("validation.jsonl", bytes);
    ReadRulerDataFile(small.folder() + "/validation.jsonl");
  });
}

}  // namespace
}  // namespace rattn
