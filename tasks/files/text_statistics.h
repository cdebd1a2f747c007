// Aggregates with lm-eval's standard errors, and 95 % intervals.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rattn {

// Half the width of a 95 % interval in standard errors.
inline constexpr double kNormal95 = 1.959963984540054;

struct Estimate {
  double value = 0;
  std::optional<double> standard_error;  // none for a single value
  std::pair<double, double> interval;    // 95 %
};

// Mean of one value a document. Error: sample standard deviation / sqrt(n).
// Interval: Wilson's for values that are all 0 or 1, else +- 1.96 errors.
Estimate MeanEstimate(std::span<const double> values);

// exp(-mean) of log-likelihoods. Error: lm-eval's bootstrap, the standard
// deviation over `draws` resamples, 1000 of each of random.Random(0), (1), ..;
// the same draws on any number of threads; none for 0 draws. Interval: exp of
// the interval of the mean.
Estimate PerplexityEstimate(std::span<const double> log_likelihoods,
                            int64_t draws);

struct GroupMember {
  double value = 0;
  std::optional<double> standard_error;
  int64_t n = 0;
};

// Every document counts the same; the error is pooled over the members
// (lm-eval's pooled_sample_stderr). Interval: +- 1.96 errors.
Estimate MeanByDocument(std::span<const GroupMember> members);
// Every member counts the same (lm-eval's unweighted_mean_stderr).
Estimate MeanByMember(std::span<const GroupMember> members);

}  // namespace rattn
