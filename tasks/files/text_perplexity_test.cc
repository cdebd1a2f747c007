#include "tasks/files/text_perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "models/error.h"
#include "tasks/files/fake_text_model.h"

namespace rattn {
namespace {

using testing::ElementsAre;

constexpr int32_t kBos = ByteTokenizer::kBos;

std::string TextFile(const std::string& text) {
  const std::string path =
      testing::TempDir() + "/perplexity-" + std::to_string(getpid()) + ".txt";
  std::ofstream(path) << text;
  return path;
}

// lm-eval's get_rolling_token_windows and make_disjoint_window.
TEST(TextPerplexityTest, WindowsOverlapByWhatTheStrideLeaves) {
  const auto disjoint = RollingWindows({1, 2, 3, 4, 5, 6, 7}, 0, 3, 3);
  ASSERT_EQ(disjoint.size(), 3u);
  EXPECT_THAT(disjoint[0].context, ElementsAre(0));
  EXPECT_THAT(disjoint[0].continuation, ElementsAre(1, 2, 3));
  EXPECT_THAT(disjoint[1].context, ElementsAre(3));
  EXPECT_THAT(disjoint[1].continuation, ElementsAre(4, 5, 6));
  // The last window keeps its full context.
  EXPECT_THAT(disjoint[2].context, ElementsAre(4, 5, 6));
  EXPECT_THAT(disjoint[2].continuation, ElementsAre(7));
  const auto strided = RollingWindows({1, 2, 3, 4, 5, 6, 7}, 0, 4, 2);
  ASSERT_EQ(strided.size(), 3u);
  EXPECT_THAT(strided[1].context, ElementsAre(2, 3, 4));
  EXPECT_THAT(strided[1].continuation, ElementsAre(5, 6));
  EXPECT_THAT(strided[2].context, ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(strided[2].continuation, ElementsAre(7));
}

TEST(TextPerplexityTest, MetricsOfAUniformModel) {
  const std::string path = TextFile("one two\nthree");
  const ByteTokenizer tokenizer(true);
  FakeScoringModel model([](const ScoreRequest& r) {
    EXPECT_EQ(std::count(r.context.begin(), r.context.end(), kBos),
              r.context[0] == kBos ? 1 : 0);
    return -std::log(4.0) * static_cast<double>(r.continuation.size());
  });
  PerplexityOptions options;
  options.window = 5;
  options.stride = 2;
  options.log_samples = true;
  const auto result = RunPerplexity(path, tokenizer, model, options);
  ASSERT_EQ(result.metrics.size(), 4u);
  EXPECT_EQ(result.metrics[0].name, "word_perplexity");
  EXPECT_NEAR(result.metrics[0].estimate.value, std::pow(4, 13 / 3.0), 1e-9);
  EXPECT_NEAR(result.metrics[1].estimate.value, 4, 1e-12);
  EXPECT_NEAR(result.metrics[2].estimate.value, 2, 1e-12);
  EXPECT_NEAR(result.metrics[3].estimate.value, 4, 1e-12);
  EXPECT_NEAR(result.metrics[3].estimate.standard_error.value(), 0, 1e-7);
  EXPECT_EQ(result.samples.size(), 5u);
}

TEST(TextPerplexityTest, RefusesWhatCannotBe) {
  const ByteTokenizer tokenizer;
  FakeScoringModel model([](const ScoreRequest&) {
    return std::numeric_limits<double>::quiet_NaN();
  });
  model.set_max_length(8);
  PerplexityOptions options;
  const std::string path = TextFile("text");
  EXPECT_THROW(RunPerplexity(path, tokenizer, model, options), RunError);
  options.window = 9;
  EXPECT_THROW(RunPerplexity(path, tokenizer, model, options), UserError);
  options.window = 4;
  options.stride = 5;
  EXPECT_THROW(RunPerplexity(path, tokenizer, model, options), UserError);
  options.stride = 0;
  EXPECT_THROW(RunPerplexity(TextFile(""), tokenizer, model, options),
               UserError);
}

}  // namespace
}  // namespace rattn
