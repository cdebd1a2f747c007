#include "tasks/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/error.h"

namespace rattn {

void Mean::Add(double value) {
  ++n_;
  sum_ += value;
  squares_ += value * value;
}

double Mean::standard_error() const {
  if (n_ < 2) return std::numeric_limits<double>::quiet_NaN();
  const double n = static_cast<double>(n_);
  const double variance = (squares_ - sum_ * sum_ / n) / (n - 1);
  return std::sqrt(std::max(0.0, variance) / n);
}

void ClusteredMean::Add(int64_t cluster, double sum, double weight) {
  auto& [total, count] = clusters_[cluster];
  total += sum;
  count += weight;
}

double ClusteredMean::weight() const {
  double weight = 0;
  for (const auto& [id, cluster] : clusters_) weight += cluster.second;
  return weight;
}

double ClusteredMean::value() const {
  double sum = 0;
  for (const auto& [id, cluster] : clusters_) sum += cluster.first;
  const double all = weight();
  return all > 0 ? sum / all : 0;
}

double ClusteredMean::standard_error() const {
  if (clusters_.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  const double mean = value();
  double squares = 0;
  for (const auto& [id, cluster] : clusters_) {
    const double deviation = cluster.first - mean * cluster.second;
    squares += deviation * deviation;
  }
  const double n = static_cast<double>(clusters_.size());
  return std::sqrt(squares * n / (n - 1)) / weight();
}

void CheckEvaluation(const Task& task, const LanguageModel& model,
                     const EvalOptions& options) {
  if (model.vocab_size() < task.vocab_size()) {
    throw UserError(fmt::format(
        "{}: the model has {} tokens, the task {}: train a model with "
        "vocab_size {} or more on it",
        task.name(), model.vocab_size(), task.vocab_size(), task.vocab_size()));
  }
  if (options.samples < 1 || options.batch < 1) {
    throw UserError(
        fmt::format("{}: samples and batch must be 1 or more, not {} and {}",
                    task.name(), options.samples, options.batch));
  }
}

int64_t ForEachBatch(int64_t total, const EvalOptions& options,
                     const std::function<void(int64_t, int64_t)>& step) {
  int64_t done = 0;
  while (done < total) {
    const int64_t count = std::min(options.batch, total - done);
    step(done, count);
    done += count;
    if (options.progress && !options.progress(done, total)) break;
  }
  return done;
}

void CheckFinite(std::span<const float> logits) {
  for (const float logit : logits) {
    if (!std::isfinite(logit)) {
      throw RunError(
          "the model gives logits that are not finite: its training diverged; "
          "train it with a lower learning rate");
    }
  }
}

std::vector<int32_t> LikeliestTokens(const LanguageModel& model,
                                     const Batch& batch,
                                     std::span<const TokenAt> places) {
  const std::vector<float> logits = model.Logits(batch, places);
  CheckFinite(logits);
  const int64_t vocab = model.vocab_size();
  std::vector<int32_t> tokens;
  tokens.reserve(places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    const auto row = logits.begin() + static_cast<int64_t>(i) * vocab;
    tokens.push_back(
        static_cast<int32_t>(std::max_element(row, row + vocab) - row));
  }
  return tokens;
}

double NegativeLogLikelihood(std::span<const float> logits, int32_t target) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return std::log(sum) + largest - logits[target];
}

}  // namespace rattn
