// Means with standard errors, and the loop that walks a model over samples.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "models/language_model.h"
#include "tasks/task.h"

namespace rattn {

// Mean of independent values.
class Mean {
 public:
  void Add(double value);
  int64_t n() const { return n_; }
  double value() const { return n_ > 0 ? sum_ / static_cast<double>(n_) : 0; }
  // Sample standard deviation over sqrt(n); NaN for fewer than two values.
  double standard_error() const;

 private:
  int64_t n_ = 0;
  double sum_ = 0, squares_ = 0;
};

// Mean of values in groups that are not independent inside (questions about
// one fact, bytes of one window): the error is the spread of the groups' sums
// around their share of the mean.
class ClusteredMean {
 public:
  // `weight` values whose sum is `sum`.
  void Add(int64_t cluster, double sum, double weight = 1);
  double weight() const;
  double value() const;
  // NaN for fewer than two clusters.
  double standard_error() const;

 private:
  std::map<int64_t, std::pair<double, double>> clusters_;  // sum, weight
};

// Throws UserError if the model does not know all of the task's tokens, or if
// samples or batch are not positive.
void CheckEvaluation(const Task& task, const LanguageModel& model,
                     const EvalOptions& options);

// Calls step(first, count) over [0, total) in pieces of options.batch; returns
// the number done, fewer than `total` if options.progress stopped it.
int64_t ForEachBatch(int64_t total, const EvalOptions& options,
                     const std::function<void(int64_t, int64_t)>& step);

// The most likely token after each place, the lowest of equals. Throws
// RunError for logits that are not finite.
std::vector<int32_t> LikeliestTokens(const LanguageModel& model,
                                     const Batch& batch,
                                     std::span<const TokenAt> places);
void CheckFinite(std::span<const float> logits);

// Of one row of logits: nats of `target`.
double NegativeLogLikelihood(std::span<const float> logits, int32_t target);

}  // namespace rattn
