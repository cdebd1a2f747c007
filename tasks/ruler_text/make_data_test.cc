#include "tasks/ruler_text/make_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"
#include "tasks/ruler_text/fake_tokenizer.h"
#include "tasks/ruler_text/small_sources.h"
#include "tasks/ruler_text/summary.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

TEST(RulerDataTest, LinesAreThoseOfPythonAndReadBack) {
  RulerTextSample sample;
  sample.stored_index = 7;
  sample.input = "a\t\"\xc3\xa9\" \xf0\x9f\x98\x80\x7f";
  sample.outputs = {"x", "y\n"};
  sample.answer_prefix = " A:";
  sample.length = 9;
  sample.token_position_answer = 3;
  const std::string line = RulerDataLine(sample);
  EXPECT_EQ(line,
            "{\"index\": 7, \"input\": \"a\\t\\\"\\u00e9\\\" "
            "\\ud83d\\ude00\\u007f\", \"outputs\": [\"x\", \"y\\n\"], "
            "\"length\": 9, \"length_w_model_temp\": 9, \"answer_prefix\": "
            "\" A:\", \"token_position_answer\": 3}");
  EXPECT_EQ(RulerDataLine(ParseRulerDataLine(line, "test")), line);
  EXPECT_THROW(ParseRulerDataLine("{\"index\": 1}", "test"), UserError);
  EXPECT_THROW(ParseRulerDataLine("[]", "test"), UserError);
}

TEST(RulerDataTest, FilesReadBackAndNumberSamplesByLine) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const FakeTokenizer tokenizer;
  RulerRequest request;
  request.length = 2000;
  request.samples = 3;
  const auto samples =
      MakeRulerSamples(RulerMode::kOfficial, FindRulerTextTask("niah_single_2"),
                       request, &sources, tokenizer);
  EXPECT_NE(samples[2].stored_index, 2);
  small.Write("v.jsonl", RulerDataFile(samples));
  const auto read = ReadRulerDataFile(small.folder() + "/v.jsonl");
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[2].index, 2);
  EXPECT_EQ(read[2].Prompt(), samples[2].Prompt());
}

TEST(RulerDataTest, IdentityChangesWithWhatMadeTheData) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const FakeTokenizer tokenizer;
  RulerRequest request;
  const RulerTextTask& task = FindRulerTextTask("niah_single_2");
  const Json identity =
      RulerIdentity(RulerMode::kOfficial, task, request, &sources, tokenizer);
  EXPECT_EQ(identity["mode"], "official");
  EXPECT_EQ(identity["tokenizer"], "fake");
  for (const char* key : {"templates", "haystack", "nounlist"}) {
    EXPECT_TRUE(identity["data"].contains(key)) << key;
  }
  EXPECT_FALSE(identity["data"].contains("squad"));
  small.Write("essays.txt", "Another text. Of two sentences.");
  RulerSources other = small.Open();
  EXPECT_NE(identity, RulerIdentity(RulerMode::kOfficial, task, request, &other,
                                    tokenizer));
  request.length = 0;
  EXPECT_THROW(
      MakeRulerSamples(RulerMode::kFresh, task, request, &sources, tokenizer),
      UserError);
}

TEST(RulerDataTest, LmEvalModeFitsAndJoinsLikeTheHarness) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const FakeTokenizer tokenizer(6, /*adds_bos=*/true);
  RulerRequest request;
  request.length = 2500;
  request.samples = 3;
  for (const RulerTextTask& task : RulerTextTasks()) {
    SCOPED_TRACE(task.name);
    const auto samples = MakeRulerSamples(RulerMode::kLmEval, task, request,
                                          &sources, tokenizer);
    ASSERT_EQ(samples.size(), 3u);
    for (const RulerTextSample& sample : samples) {
      const int64_t tokens =
          static_cast<int64_t>(tokenizer.Encode(sample.input, true).size());
      // Frequent words are measured without the generation budget.
      EXPECT_LE(tokens, request.length);
      for (const std::string& output : sample.outputs) {
        EXPECT_THAT(sample.input, HasSubstr(output));
      }
      EXPECT_TRUE(sample.answer_prefix.starts_with(
          task.family == RulerFamily::kCwe ? "\n\nAnswer" : " "));
      if (task.family == RulerFamily::kVt) {
        EXPECT_THAT(sample.answer_prefix, HasSubstr("assgined"));
      }
    }
  }
}

TEST(RulerSummaryTest, RowsMeansAndNotes) {
  RulerTaskScore half;
  half.score = 50;
  half.nulls = 1;
  half.samples = 2;
  const std::vector<RulerScoreRow> rows = {{"vt", 4096, half},
                                           {"qa_1", 4096, {90, 0, 2, {}}}};
  EXPECT_EQ(RulerSummaryCsv(rows),
            "0,1,2\nTasks,vt,qa_1\nScore,50.0,90.0\nNulls,1/2,0/2\n");
  const std::string table = RulerSummaryTable(rows);
  EXPECT_THAT(table, HasSubstr("mean of 2           70.00"));
  EXPECT_THAT(table, HasSubstr("effective length <4K"));
  EXPECT_THAT(table, HasSubstr("13 tasks"));
}

TEST(RulerSummaryTest, PredictionFilesAreChecked) {
  const SmallSources small;
  RulerTextSample sample;
  sample.outputs = {"b"};
  small.Write("p.jsonl", RulerPredictionLine(sample, "a b") + "\n");
  const auto answers = ReadRulerPredictions(small.folder() + "/p.jsonl");
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].prediction, "a b");
  small.Write("q.jsonl", "{\"pred\": 3, \"outputs\": []}\n");
  EXPECT_THROW(ReadRulerPredictions(small.folder() + "/q.jsonl"), UserError);
}

}  // namespace
}  // namespace rattn
