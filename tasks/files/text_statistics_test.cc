#include "tasks/files/text_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace rattn {
namespace {

TEST(TextStatisticsTest, MeanOfZerosAndOnes) {
  const std::vector<double> values = {1, 0, 0, 1, 1, 0, 1, 1, 1, 1};
  const Estimate mean = MeanEstimate(values);
  EXPECT_DOUBLE_EQ(mean.value, 0.7);
  EXPECT_DOUBLE_EQ(mean.standard_error.value(), std::sqrt(0.7 * 0.3 / 9));
  // Wilson's interval of 7 in 10.
  EXPECT_NEAR(mean.interval.first, 0.39677, 1e-5);
  EXPECT_NEAR(mean.interval.second, 0.89221, 1e-5);
}

TEST(TextStatisticsTest, OneValueHasNoError) {
  const std::vector<double> values = {0.5};
  EXPECT_FALSE(MeanEstimate(values).standard_error.has_value());
}

// Value and error are lm-eval's bootstrap_stderr(perplexity, xs, 2000).
TEST(TextStatisticsTest, BootstrapDrawsAreLmEvals) {
  const std::vector<double> values = {-1, -2.5, -0.25, -3, -1.5, -2};
  const Estimate perplexity = PerplexityEstimate(values, 2000);
  EXPECT_DOUBLE_EQ(perplexity.value, std::exp(10.25 / 6));
  EXPECT_NEAR(perplexity.standard_error.value(), 2.2878193357811503, 1e-12);
  EXPECT_LT(perplexity.interval.first, perplexity.value);
  EXPECT_GT(perplexity.interval.second, perplexity.value);
  EXPECT_FALSE(PerplexityEstimate(values, 0).standard_error.has_value());
}

// Errors are lm-eval's pooled_sample_stderr and unweighted_mean_stderr.
TEST(TextStatisticsTest, GroupsHaveTwoAverages) {
  const std::vector<GroupMember> members = {{0.25, 0.04, 100},
                                            {0.75, 0.02, 300}};
  const Estimate by_document = MeanByDocument(members);
  EXPECT_DOUBLE_EQ(by_document.value, 0.625);
  EXPECT_NEAR(by_document.standard_error.value(), 0.018024271742827686, 1e-15);
  const Estimate by_member = MeanByMember(members);
  EXPECT_DOUBLE_EQ(by_member.value, 0.5);
  EXPECT_NEAR(by_member.standard_error.value(), 0.022360679774997897, 1e-15);
}

TEST(TextStatisticsTest, UnknownErrorsStayUnknown) {
  const std::vector<GroupMember> members = {{0.25, 0.04, 100}, {1, {}, 1}};
  EXPECT_FALSE(MeanByDocument(members).standard_error.has_value());
  EXPECT_FALSE(MeanByMember(members).standard_error.has_value());
}

}  // namespace
}  // namespace rattn
