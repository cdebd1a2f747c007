#include "tasks/ruler_text/official.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "models/error.h"
#include "models/sha256.h"
#include "models/shared_test_util.h"
#include "models/source_folder.h"
#include "tasks/ruler_text/fake_tokenizer.h"
#include "tasks/ruler_text/small_sources.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

RulerRequest Request(int64_t length, int64_t samples = 4) {
  RulerRequest request;
  request.length = length;
  request.samples = samples;
  return request;
}

std::vector<RulerTextSample> Make(const RulerTextTask& task,
                                  const RulerRequest& request,
                                  RulerSources* sources) {
  const FakeTokenizer tokenizer;
  CachedTokenCounter counter(&tokenizer);
  return MakeOfficialSamples(task, request, sources, &counter);
}

TEST(OfficialTest, PromptsFitAndHoldTheirAnswers) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const FakeTokenizer tokenizer;
  for (const RulerTextTask& task : RulerTextTasks()) {
    for (const int64_t length : {1500, 5000}) {
      SCOPED_TRACE(fmt::format("{} {}", task.name, length));
      std::vector<RulerTextSample> samples;
      try {
        samples = Make(task, Request(length), &sources);
      } catch (const UserError& error) {
        // Long lists of words, where the small ones run out.
        ASSERT_EQ(task.family, RulerFamily::kCwe) << error.what();
        EXPECT_THAT(error.what(), HasSubstr("english_words.json"));
        continue;
      }
      ASSERT_EQ(samples.size(), 4u);
      for (const RulerTextSample& sample : samples) {
        EXPECT_EQ(sample.length,
                  static_cast<int64_t>(
                      tokenizer.Encode(sample.Prompt(), false).size()) +
                      sample.tokens_to_generate);
        EXPECT_LE(sample.length, length);
        for (const std::string& output : sample.outputs) {
          EXPECT_THAT(sample.input, HasSubstr(output));
        }
      }
    }
  }
}

TEST(OfficialTest, SameSeedSameLinesOtherSeedOthers) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const RulerTextTask& task = FindRulerTextTask("niah_multiquery");
  RulerRequest request = Request(4000);
  const auto first = Make(task, request, &sources);
  EXPECT_EQ(RulerDataLine(first[3]),
            RulerDataLine(Make(task, request, &sources)[3]));
  request.seed = 43;
  EXPECT_NE(RulerDataLine(first[3]),
            RulerDataLine(Make(task, request, &sources)[3]));
}

// The original never ends here.
TEST(OfficialTest, TooShortLengthNamesTheLeastThatWorks) {
  const SmallSources small;
  small.Write("english_words.json", [] {
    Json words = Json::object();
    for (int i = 0; i < 6000; ++i) {
      words[std::to_string(i)] = fmt::format("e{}", i);
    }
    return words.dump();
  }());
  for (const RulerTextTask& task : RulerTextTasks()) {
    RulerSources sources = small.Open();
    SCOPED_TRACE(task.name);
    std::string message;
    try {
      Make(task, Request(70), &sources);
    } catch (const UserError& error) {
      message = error.what();
    }
    const size_t at = message.find("least possible length is ");
    ASSERT_NE(at, std::string::npos) << message;
    EXPECT_THAT(message, HasSubstr(std::string(task.name)));
    const int64_t least = std::stoll(message.substr(at + 25));
    EXPECT_GT(least, 70);
    if (task.family == RulerFamily::kFwe) continue;  // a lower bound only
    // Other draws than those measured may be some tokens longer.
    EXPECT_NO_THROW(Make(task, Request(least + 40), &sources));
  }
}

TEST(OfficialTest, ChatWrapperStandsAroundTheTaskAndThePrefixAfterIt) {
  const SmallSources small;
  RulerSources sources = small.Open();
  RulerRequest request = Request(2000, 1);
  request.wrapper = "You are kind.<user>{task_template}<model>";
  const RulerTextSample niah =
      Make(FindRulerTextTask("niah_single_1"), request, &sources)[0];
  // The wording for one answer changes the wrapper as well.
  EXPECT_TRUE(niah.input.starts_with("You is kind.<user>A number is here"));
  EXPECT_TRUE(niah.input.ends_with("?<model>"));
  EXPECT_TRUE(niah.answer_prefix.starts_with(" The number for "));
  const RulerTextSample vt =
      Make(FindRulerTextTask("vt"), request, &sources)[0];
  // The worked example, in the bare template, follows the wrapper's opening.
  EXPECT_TRUE(vt.input.starts_with("You are kind.<user>Track the variables"));
  EXPECT_EQ(vt.input.find("<user>", 20), std::string::npos);
}

TEST(OfficialTest, MoreSamplesThanQuestionsAreRefused) {
  const SmallSources small;
  RulerSources sources = small.Open();
  EXPECT_THROW(Make(FindRulerTextTask("qa_1"), Request(4096, 61), &sources),
               UserError);
}

// Token counts of every text that the original counts for the examples below,
// by the first 16 digits of its SHA-256: whatever else is asked for is wrong.
class RecordedCounter : public TokenCounter {
 public:
  RecordedCounter()
      : counts_(SharedJson(SourceFolder() /
                           "tasks/ruler_text/testdata/smollm2_counts.json")) {}
  int64_t Count(std::string_view text) override {
    const std::string key = Sha256Hex(text).substr(0, 16);
    if (!counts_.contains(key)) {
      throw RunError(fmt::format("a text that the original does not make: {}",
                                 text.substr(0, 200)));
    }
    return counts_[key].get<int64_t>();
  }

 private:
  nlohmann::json counts_;
};

TEST(OfficialTest, SharedExamplesByteForByte) {
  RATTN_SHARED_OR_SKIP(path, "data/ruler/examples_smollm2_4096.jsonl");
  std::map<std::string, std::map<size_t, Json>> examples;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const Json example = Json::parse(line);
    examples[example["task"]][example["i"].get<size_t>()] = example;
  }
  EXPECT_EQ(examples.size(), 13u);
  RulerSources sources({SharedPath("data").string(), "", "", ""});
  RecordedCounter counter;
  for (const RulerTextTask& task : RulerTextTasks()) {
    const auto samples =
        MakeOfficialSamples(task, Request(4096, 5), &sources, &counter);
    for (const auto& [i, want] : examples[std::string(task.name)]) {
      SCOPED_TRACE(fmt::format("{} {}", task.name, i));
      EXPECT_EQ(Sha256Hex(samples[i].input), want["input_sha256"]);
      EXPECT_EQ(Sha256Hex(samples[i].Prompt()), want["prompt_sha256"]);
      EXPECT_EQ(Sha256Hex(RulerDataLine(samples[i])), want["line_sha256"]);
      EXPECT_EQ(Json(samples[i].outputs), want["outputs"]);
      EXPECT_EQ(Json(samples[i].tries), want["token_counts_of_tries"]);
    }
  }
  EXPECT_EQ(sources.hashes()["sentences"], "punkt table");
}

}  // namespace
}  // namespace rattn
