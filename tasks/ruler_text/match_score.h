// RULER's scores: string matches of predictions, averages over lengths.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/ruler_text/text_tasks.h"

namespace rattn {

struct RulerAnswer {
  std::string prediction;
  std::vector<std::string> references;
};

// Stripped, control characters U+0000..U+001F replaced by newlines, stripped
// again; white space as Python's str.strip() knows it.
std::string CleanPrediction(std::string_view prediction);

// Of one sample, both sides lower-cased: the share of references that occur in
// the prediction (metric `all`), or 1 if any does (`part`). In mode lm-eval
// `part` is that share as well. No references: 0.
double MatchScore(const RulerAnswer& answer, bool any_reference);

struct RulerTaskScore {
  double score = 0;   // 0 to 100, two decimals; lm-eval: 0 to 1, not rounded
  int64_t nulls = 0;  // predictions that are empty once cleaned
  int64_t samples = 0;
  std::vector<double> of_samples;  // 0 to 1
};

// Cleans, scores and averages. No samples: 0.
RulerTaskScore ScoreRulerTask(std::span<const RulerAnswer> answers,
                              const RulerTextTask& task, RulerMode mode);

// Python's round(x, 2).
double RoundToCents(double value);

// What RULER's paper calls satisfactory: Llama-2-7B-chat at 4K.
inline constexpr double kRulerThreshold = 85.6;

struct RulerLengthSummary {
  double average = 0;                // plain mean over lengths
  double increasing = 0;             // wAvg(inc): weights 1, 2, 3, ..
  double decreasing = 0;             // wAvg(dec): weights .., 3, 2, 1
  std::optional<int64_t> effective;  // nothing: below the first length
  bool all_pass = false;             // effective is a lower bound
};
// Of the mean task scores at ascending lengths; not empty.
RulerLengthSummary SummarizeLengths(const std::map<int64_t, double>& scores,
                                    double threshold = kRulerThreshold);
// "64K", ">128K", "<4K".
std::string EffectiveLengthText(const std::map<int64_t, double>& scores,
                                double threshold = kRulerThreshold);

}  // namespace rattn
