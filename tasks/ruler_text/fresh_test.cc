#include "tasks/ruler_text/fresh.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "models/error.h"
#include "tasks/ruler_text/fake_tokenizer.h"
#include "tasks/ruler_text/small_sources.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

std::vector<RulerTextSample> Make(const RulerTextTask& task, int64_t length,
                                  int64_t samples, RulerSources* sources,
                                  size_t letters = 6) {
  const FakeTokenizer tokenizer(letters);
  CachedTokenCounter counter(&tokenizer);
  RulerRequest request;
  request.length = length;
  request.samples = samples;
  return MakeFreshSamples(task, request, sources, &counter);
}

TEST(FreshTest, LengthsAreHitAndAnswersAreThere) {
  const SmallSources small;
  RulerSources sources = small.Open();
  const FakeTokenizer tokenizer;
  for (const RulerTextTask& task : RulerTextTasks()) {
    for (const int64_t length : {1024, 4096}) {
      SCOPED_TRACE(fmt::format("{} {}", task.name, length));
      for (const RulerTextSample& sample : Make(task, length, 3, &sources)) {
        EXPECT_EQ(sample.length,
                  static_cast<int64_t>(
                      tokenizer.Encode(sample.Prompt(), false).size()) +
                      FreshBudget(task.family));
        EXPECT_LE(sample.length, length);
        // Units of needles and documents are coarse; the small word list is
        // too short for the longer lists of words.
        const bool coarse = task.haystack == HaystackKind::kNeedle ||
                            task.family == RulerFamily::kQa;
        if (task.family != RulerFamily::kCwe || length < 4096) {
          EXPECT_GE(sample.length, length * (coarse ? 0.92 : 0.98));
        }
        EXPECT_FALSE(sample.outputs.empty());
        for (const std::string& output : sample.outputs) {
          EXPECT_THAT(sample.input, HasSubstr(output));
          EXPECT_THAT(sample.answer_prefix, ::testing::Not(HasSubstr(output)));
        }
      }
    }
  }
}

// Where the answer stands, as a share of the input.
TEST(FreshTest, LayoutsVaryBetweenSamples) {
  const SmallSources small;
  RulerSources sources = small.Open();
  for (const RulerTextTask& task : RulerTextTasks()) {
    SCOPED_TRACE(task.name);
    std::vector<double> places;
    for (const RulerTextSample& sample : Make(task, 3000, 40, &sources)) {
      // Chains are asked for by their value, the answers are elsewhere.
      const size_t at =
          sample.input.rfind(sample.outputs.back(), sample.input.rfind('\n'));
      places.push_back(static_cast<double>(at) /
                       static_cast<double>(sample.input.size()));
    }
    std::sort(places.begin(), places.end());
    EXPECT_GT(places.back() - places.front(), 0.05);
    EXPECT_GT(std::set<double>(places.begin(), places.end()).size(), 20u);
  }
}

// Draws depend on seed, task and index alone.
TEST(FreshTest, AnswersAreFreeOfTokenizerAndLength) {
  const SmallSources small;
  RulerSources sources = small.Open();
  for (const RulerTextTask& task : RulerTextTasks()) {
    SCOPED_TRACE(task.name);
    const auto a = Make(task, 4096, 3, &sources);
    const auto b = Make(task, 2048, 3, &sources, /*letters=*/3);
    for (size_t i = 0; i < a.size(); ++i) {
      // Lists and vocabularies shrink with the length, their heads stay.
      EXPECT_EQ(a[i].outputs, b[i].outputs);
    }
    EXPECT_NE(a[0].input, a[1].input);
  }
}

// Every other question needs more than 512 tokens of documents.
TEST(FreshTest, QuestionsStandWithWhatTheyNeedAndFitFewTokens) {
  const SmallSources small;
  Json rows = Json::array();
  for (int i = 0; i < 20; ++i) {
    const std::string title = fmt::format("Title {}", i);
    const std::string answer = fmt::format("{}{}", i % 2 ? "Long" : "Short", i);
    Json context = Json::array();
    context.push_back(Json::array({title, {answer + " was seen."}}));
    if (i % 2 == 1) context[0][1].push_back(std::string(4000, 'x'));
    const std::string other = title + " again";
    context.push_back(Json::array({other, {std::string(4000, 'y')}}));
    Json row = {{"question", "What was seen?"}, {"answer", answer}};
    row["context"] = context;
    row["supporting_facts"] = Json::array({Json::array({title, 0})});
    rows.push_back(row);
  }
  small.Write("hotpotqa.json", rows.dump());
  RulerSources sources = small.Open();
  for (const RulerTextSample& sample :
       Make(FindRulerTextTask("qa_2"), 512, 20, &sources)) {
    EXPECT_THAT(sample.outputs[0], ::testing::StartsWith("Short"));
    EXPECT_THAT(sample.input, HasSubstr(sample.outputs[0] + " was seen."));
  }
}

TEST(FreshTest, NeedlesOfOtherNamesNeverRepeatTheOnesAskedFor) {
  const SmallSources small;
  RulerSources sources = small.Open();
  for (const RulerTextSample& sample :
       Make(FindRulerTextTask("niah_multikey_2"), 4096, 5, &sources)) {
    const size_t first = sample.input.find(sample.outputs[0]);
    EXPECT_EQ(sample.input.find(sample.outputs[0], first + 1),
              std::string::npos);
  }
}

TEST(FreshTest, LeastLengthIsExact) {
  const SmallSources small;
  RulerSources sources = small.Open();
  for (const RulerTextTask& task : RulerTextTasks()) {
    SCOPED_TRACE(task.name);
    std::string message;
    try {
      Make(task, 65, 4, &sources);
    } catch (const UserError& error) {
      message = error.what();
    }
    const size_t at = message.find("least possible length is ");
    ASSERT_NE(at, std::string::npos) << message;
    const int64_t least = std::stoll(message.substr(at + 25));
    EXPECT_NO_THROW(Make(task, least, 4, &sources));
    EXPECT_THROW(Make(task, least - 1, 4, &sources), UserError);
  }
}

}  // namespace
}  // namespace rattn
