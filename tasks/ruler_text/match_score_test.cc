#include "tasks/ruler_text/match_score.h"

#include <gtest/gtest.h>

#include "models/shared_test_util.h"

namespace rattn {
namespace {

const RulerTextTask& All() { return FindRulerTextTask("vt"); }
const RulerTextTask& Part() { return FindRulerTextTask("qa_1"); }

double Score(const std::vector<RulerAnswer>& answers, const RulerTextTask& task,
             RulerMode mode = RulerMode::kOfficial) {
  return ScoreRulerTask(answers, task, mode).score;
}

TEST(MatchScoreTest, SharesAndAnyReference) {
  const std::vector<RulerAnswer> answers = {
      {"yes Alpha", {"alpha", "alpha", "beta"}}, {"nothing", {"x y", "z"}}};
  EXPECT_EQ(Score(answers, All()), 33.33);
  EXPECT_EQ(Score(answers, Part()), 50);
  // lm-eval has one metric for both, from 0 to 1 and not rounded.
  EXPECT_EQ(
      Score({{"it was in France", {"France", "in France", "Paris, France"}}},
            Part(), RulerMode::kLmEval),
      2.0 / 3);
}

TEST(MatchScoreTest, CleansAndCountsEmptyPredictions) {
  EXPECT_EQ(CleanPrediction(" \x01"
                            "a\tb\xc2\xa0"),
            "a\nb");
  const std::vector<RulerAnswer> answers = {{"\x01\x02", {"x"}}, {"x", {"x"}}};
  EXPECT_EQ(ScoreRulerTask(answers, All(), RulerMode::kOfficial).nulls, 1);
}

TEST(MatchScoreTest, RoundsTheBinaryValueHalfToEven) {
  EXPECT_EQ(RoundToCents(0.125), 0.12);
  EXPECT_EQ(RoundToCents(0.375), 0.38);
  EXPECT_EQ(RoundToCents(2.675), 2.67);
}

// Phi-3-mini-128k at 4K and GPT-4, from RULER's README and issue 71.
TEST(LengthSummaryTest, PublishedRows) {
  const std::map<int64_t, double> gpt4 = {{4096, 96.6},  {8192, 96.3},
                                          {16384, 95.2}, {32768, 93.2},
                                          {65536, 87.0}, {131072, 81.2}};
  const RulerLengthSummary summary = SummarizeLengths(gpt4);
  EXPECT_NEAR(summary.average, 91.6, 0.05);
  EXPECT_NEAR(summary.increasing, 89.0, 0.05);
  EXPECT_NEAR(summary.decreasing, 94.1, 0.05);
  EXPECT_EQ(EffectiveLengthText(gpt4), "64K");
  EXPECT_EQ(EffectiveLengthText({{4096, 85.6}, {8192, 90}}), ">8K");
  EXPECT_EQ(EffectiveLengthText({{4096, 85.59}, {8192, 90}}), "<4K");
  EXPECT_EQ(EffectiveLengthText({{4096, 90}, {8192, 80}, {16384, 90}}), "4K");
}

std::vector<RulerAnswer> Answers(const Json& samples, bool* null_reference) {
  std::vector<RulerAnswer> answers;
  for (const Json& sample : samples) {
    RulerAnswer& answer = answers.emplace_back();
    answer.prediction = sample["pred"];
    for (const Json& output : sample["outputs"]) {
      if (output.is_null())
        *null_reference = true;
      else
        answer.references.push_back(output);
    }
  }
  return answers;
}

TEST(MatchScoreTest, SharedVectors) {
  RATTN_SHARED_OR_SKIP(path, "data/ruler/score_vectors.json");
  int compared = 0;
  const Json vectors = SharedJson(path);
  for (const Json& entry : vectors["cases"]) {
    SCOPED_TRACE(entry["name"].dump());
    bool null_reference = false;
    const std::vector<RulerAnswer> answers =
        Answers(entry["samples"], &null_reference);
    // A null reference ends the original with an exception or a score of 0.
    if (null_reference) continue;
    ++compared;
    if (entry["cleaned"].is_array()) {
      for (size_t i = 0; i < answers.size(); ++i) {
        EXPECT_EQ(CleanPrediction(answers[i].prediction), entry["cleaned"][i]);
      }
    }
    const RulerTaskScore all =
        ScoreRulerTask(answers, All(), RulerMode::kOfficial);
    EXPECT_EQ(std::to_string(all.nulls) + "/" + std::to_string(all.samples),
              entry["nulls"]);
    EXPECT_EQ(Json(all.score), entry["task_all"]["value"]);
    EXPECT_EQ(Json(Score(answers, Part())), entry["task_part"]["value"]);
  }
  EXPECT_GT(compared, 20);
}

}  // namespace
}  // namespace rattn
