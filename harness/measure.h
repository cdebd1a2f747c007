// Timing: Google Benchmark is the loop, the stop rule is ours.
//
// A sample is the mean time of a few calls, enough of them to last
// `sample_seconds`. Samples of several contenders are taken in turn, so that
// a disturbance of the machine meets all of them. The rule ends on noise or on
// count, on the wall limit last, and says which it was.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

struct Contender {
  std::string name;
  std::function<void()> call;
  // Calls after which costs repeat: samples are whole numbers of periods.
  int64_t period = 1;
};

struct StopRule {
  int64_t min_samples = 7;
  int64_t max_samples = 200;
  double sample_seconds = 2e-3;
  // Of the median: 1.253 * 1.4826 * MAD / (median * sqrt(n)), the standard
  // error of the median of a normal distribution.
  double noise = 0.01;
  double max_seconds = 3;  // of all samples of a contender together
};

struct Samples {
  std::vector<double> seconds;  // per call
  int64_t calls = 1;            // per sample
  std::string stopped_by;       // "noise", "count" or "time"
};

// One element per contender, in order, all with the same number of samples.
// Every contender is called at least twice before its first sample.
std::vector<Samples> MeasureInterleaved(std::span<Contender> contenders,
                                        const StopRule& rule);

// Samples of `sample`, which times itself (seconds), until the rule ends them;
// the first call only warms up.
Samples MeasureRepeated(const std::function<double()>& sample,
                        const StopRule& rule);

struct Summary {
  int64_t n = 0;
  double median = 0, q1 = 0, q3 = 0, min = 0, mad = 0;
};
// Of at least one value.
Summary Summarize(std::vector<double> values);
double RelativeNoise(const Summary& summary);
// {n, median, q1, q3, min, mad, stopped_by}
Json ToJson(const Summary& summary, const std::string& stopped_by);

}  // namespace rattn
