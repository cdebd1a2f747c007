#include "harness/measure.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace rattn {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Keeps the time per call of the runs and prints nothing.
class Collector : public benchmark::BenchmarkReporter {
 public:
  explicit Collector(std::vector<Samples>* samples) : samples_(samples) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      (*samples_)[run.family_index].seconds.push_back(
          run.real_accumulated_time / static_cast<double>(run.iterations));
    }
  }

 private:
  std::vector<Samples>* samples_;
};

// Calls until one lasts long enough to count, so that the first sample is warm
// and `calls` is known.
int64_t CallsPerSample(const Contender& contender, double sample_seconds) {
  double fastest = std::numeric_limits<double>::infinity();
  const Clock::time_point start = Clock::now();
  for (int call = 0; call < 2 || (call < 50 && Since(start) < sample_seconds);
       ++call) {
    const Clock::time_point begin = Clock::now();
    contender.call();
    fastest = std::min(fastest, Since(begin));
  }
  const double calls = sample_seconds / std::max(fastest, 1e-9);
  const auto whole = static_cast<int64_t>(std::clamp(calls, 1.0, 1e6));
  return (whole + contender.period - 1) / contender.period * contender.period;
}

void Register(const Contender& contender, int64_t calls) {
  benchmark::RegisterBenchmark(
      contender.name.c_str(),
      [call = &contender.call](benchmark::State& state) {
        for (auto _ : state) (*call)();
      })
      ->Iterations(calls)
      ->UseRealTime();
}

double Quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  const double share = at - static_cast<double>(low);
  return sorted[low] * (1 - share) + sorted[high] * share;
}

bool AllQuiet(std::span<const Samples> samples, double noise) {
  return std::all_of(samples.begin(), samples.end(), [&](const Samples& s) {
    return RelativeNoise(Summarize(s.seconds)) <= noise;
  });
}

// What ends the measurement, or "" while it goes on.
std::string StoppedBy(const StopRule& rule, std::span<const Samples> samples,
                      double seconds) {
  const auto n = static_cast<int64_t>(samples.front().seconds.size());
  if (n >= rule.min_samples && AllQuiet(samples, rule.noise)) return "noise";
  if (n >= rule.max_samples) return "count";
  const auto contenders = static_cast<double>(samples.size());
  return seconds >= rule.max_seconds * contenders ? "time" : "";
}

}  // namespace

std::vector<Samples> MeasureInterleaved(std::span<Contender> contenders,
                                        const StopRule& rule) {
  std::vector<Samples> samples(contenders.size());
  benchmark::ClearRegisteredBenchmarks();
  for (size_t i = 0; i < contenders.size(); ++i) {
    samples[i].calls = CallsPerSample(contenders[i], rule.sample_seconds);
    Register(contenders[i], samples[i].calls);
  }
  Collector collector(&samples);
  const Clock::time_point start = Clock::now();
  std::string stopped_by;
  while (stopped_by.empty()) {
    benchmark::RunSpecifiedBenchmarks(&collector, ".*");
    stopped_by = StoppedBy(rule, samples, Since(start));
  }
  for (Samples& s : samples) s.stopped_by = stopped_by;
  benchmark::ClearRegisteredBenchmarks();
  return samples;
}

Samples MeasureRepeated(const std::function<double()>& sample,
                        const StopRule& rule) {
  sample();
  Samples samples;
  const Clock::time_point start = Clock::now();
  while (samples.stopped_by.empty()) {
    samples.seconds.push_back(sample());
    samples.stopped_by = StoppedBy(rule, std::span(&samples, 1), Since(start));
  }
  return samples;
}

Summary Summarize(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  Summary summary;
  summary.n = static_cast<int64_t>(values.size());
  summary.median = Quantile(values, 0.5);
  summary.q1 = Quantile(values, 0.25);
  summary.q3 = Quantile(values, 0.75);
  summary.min = values.front();
  for (double& value : values) value = std::abs(value - summary.median);
  std::sort(values.begin(), values.end());
  summary.mad = Quantile(values, 0.5);
  return summary;
}

double RelativeNoise(const Summary& summary) {
  if (summary.median <= 0) return std::numeric_limits<double>::infinity();
  return 1.253 * 1.4826 * summary.mad /
         (summary.median * std::sqrt(static_cast<double>(summary.n)));
}

Json ToJson(const Summary& summary, const std::string& stopped_by) {
  return {{"n", summary.n},   {"median", summary.median}, {"q1", summary.q1},
          {"q3", summary.q3}, {"min", summary.min},       {"mad", summary.mad},
          {"unit", "s"},      {"stopped_by", stopped_by}};
}

}  // namespace rattn
