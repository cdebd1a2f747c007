#include "harness/measure.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <string>
#include <thread>

namespace rattn {
namespace {

TEST(Measure, SummaryOfKnownValues) {
  const Summary s = Summarize({4, 1, 3, 2, 100});
  EXPECT_EQ(s.n, 5);
  EXPECT_DOUBLE_EQ(s.median, 3);
  EXPECT_DOUBLE_EQ(s.q1, 2);
  EXPECT_DOUBLE_EQ(s.q3, 4);
  EXPECT_DOUBLE_EQ(s.min, 1);
  EXPECT_DOUBLE_EQ(s.mad, 1);
  EXPECT_NEAR(RelativeNoise(s), 1.253 * 1.4826 / (3 * std::sqrt(5)), 1e-12);
  EXPECT_DOUBLE_EQ(Summarize({7}).median, 7);
  EXPECT_DOUBLE_EQ(Summarize({1, 2}).median, 1.5);
}

TEST(Measure, TakesSamplesInTurn) {
  std::string order;
  std::vector<Contender> contenders = {
      {"a",
       [&] {
         order += 'a';
         std::this_thread::sleep_for(std::chrono::milliseconds(2));
       }},
      {"b", [&] {
         order += 'b';
         std::this_thread::sleep_for(std::chrono::milliseconds(2));
       }}};
  StopRule rule;
  rule.min_samples = rule.max_samples = 4;
  rule.sample_seconds = 1e-3;
  rule.noise = 1e-9;
  const std::vector<Samples> samples = MeasureInterleaved(contenders, rule);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].seconds.size(), 4u);
  EXPECT_EQ(samples[1].seconds.size(), 4u);
  EXPECT_EQ(samples[0].stopped_by, "count");
  EXPECT_TRUE(order.ends_with("abababab")) << order;
}

TEST(Measure, FindsTheTimeOfASleepAndStopsOnTime) {
  std::vector<Contender> contenders = {
      {"sleep",
       [] { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }}};
  StopRule rule;
  rule.min_samples = 1000;
  rule.max_seconds = 0.05;
  const std::vector<Samples> samples = MeasureInterleaved(contenders, rule);
  EXPECT_EQ(samples[0].stopped_by, "time");
  EXPECT_EQ(samples[0].calls, 1);
  // Sleeps are never shorter; a busy machine makes them longer.
  EXPECT_GE(Summarize(samples[0].seconds).min, 0.010);
  EXPECT_LT(Summarize(samples[0].seconds).min, 1.0);
}

TEST(Measure, ShortCallsAreRepeatedWithinASample) {
  volatile int x = 0;
  std::vector<Contender> contenders = {{"short", [&] { x = x + 1; }}};
  StopRule rule;
  rule.min_samples = rule.max_samples = 3;
  const std::vector<Samples> samples = MeasureInterleaved(contenders, rule);
  EXPECT_GT(samples[0].calls, 100);
}

}  // namespace
}  // namespace rattn
