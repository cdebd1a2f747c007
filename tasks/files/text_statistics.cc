#include "tasks/files/text_statistics.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <thread>

#include "tasks/python_random.h"

namespace rattn {
namespace {

double Average(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(values.size());
}

double SampleDeviation(std::span<const double> values) {
  const double mean = Average(values);
  double squares = 0;
  for (const double x : values) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

std::pair<double, double> Normal(double value, std::optional<double> error) {
  const double half = kNormal95 * error.value_or(0);
  return {value - half, value + half};
}

std::pair<double, double> Wilson(double p, double n) {
  const double z2 = kNormal95 * kNormal95;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half =
      kNormal95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {centre - half, centre + half};
}

// exp(-mean) of 1000 or fewer resamples of the stream random.Random(chunk).
void Resample(std::span<const double> values, int64_t chunk,
              std::span<double> perplexities) {
  PythonRandom random(static_cast<uint64_t>(chunk));
  for (double& perplexity : perplexities) {
    double sum = 0;
    for (const size_t i : random.ChoiceIndices(values.size(), values.size())) {
      sum += values[i];
    }
    perplexity = std::exp(-sum / static_cast<double>(values.size()));
  }
}

double BootstrapError(std::span<const double> values, int64_t draws) {
  const int64_t size = std::min<int64_t>(1000, draws);
  const int64_t chunks = draws / size;
  std::vector<double> all(static_cast<size_t>(chunks * size));
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t chunk; (chunk = next++) < chunks;) {
      Resample(values, chunk,
               std::span(all).subspan(static_cast<size_t>(chunk * size),
                                      static_cast<size_t>(size)));
    }
  };
  {
    std::vector<std::jthread> threads;
    const unsigned helpers = std::thread::hardware_concurrency();
    for (unsigned i = 1; i < helpers; ++i) threads.emplace_back(work);
    work();
  }
  return SampleDeviation(all);
}

std::optional<double> MeanError(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  return SampleDeviation(values) / std::sqrt(values.size());
}

}  // namespace

Estimate MeanEstimate(std::span<const double> values) {
  Estimate mean;
  mean.value = Average(values);
  mean.standard_error = MeanError(values);
  const bool shares = std::all_of(values.begin(), values.end(),
                                  [](double x) { return x == 0 || x == 1; });
  mean.interval = shares
                      ? Wilson(mean.value, static_cast<double>(values.size()))
                      : Normal(mean.value, mean.standard_error);
  return mean;
}

Estimate PerplexityEstimate(std::span<const double> log_likelihoods,
                            int64_t draws) {
  const double mean = Average(log_likelihoods);
  const auto [low, high] = Normal(mean, MeanError(log_likelihoods));
  Estimate perplexity{
      std::exp(-mean), std::nullopt, {std::exp(-high), std::exp(-low)}};
  if (draws > 0 && log_likelihoods.size() > 1) {
    perplexity.standard_error = BootstrapError(log_likelihoods, draws);
  }
  return perplexity;
}

Estimate MeanByDocument(std::span<const GroupMember> members) {
  double sum = 0, count = 0, squares = 0;
  bool known = true;
  for (const GroupMember& member : members) {
    const auto n = static_cast<double>(member.n);
    sum += member.value * n;
    count += n;
    const double error = member.standard_error.value_or(0);
    known = known && member.standard_error.has_value();
    squares += (n - 1) * error * error * n;
  }
  Estimate mean{sum / count, std::nullopt, {}};
  if (known) {
    const double variance =
        squares / (count - static_cast<double>(members.size()));
    mean.standard_error = std::sqrt(variance / count);
  }
  mean.interval = Normal(mean.value, mean.standard_error);
  return mean;
}

Estimate MeanByMember(std::span<const GroupMember> members) {
  const auto count = static_cast<double>(members.size());
  double sum = 0, squares = 0;
  bool known = true;
  for (const GroupMember& member : members) {
    sum += member.value;
    const double error = member.standard_error.value_or(0);
    known = known && member.standard_error.has_value();
    squares += error * error;
  }
  Estimate mean{sum / count, std::nullopt, {}};
  if (known) mean.standard_error = std::sqrt(squares) / count;
  mean.interval = Normal(mean.value, mean.standard_error);
  return mean;
}

}  // namespace rattn
