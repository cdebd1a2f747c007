#include "tasks/ruler_text/match_score.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "tasks/python_text.h"

namespace rattn {
namespace {

std::string LengthText(int64_t tokens) {
  return tokens % 1024 == 0 ? fmt::format("{}K", tokens / 1024)
                            : std::to_string(tokens);
}

double WeightedMean(const std::map<int64_t, double>& scores, bool increasing) {
  double sum = 0, weights = 0;
  double rank = increasing ? 1 : static_cast<double>(scores.size());
  for (const auto& [length, score] : scores) {
    sum += rank * score;
    weights += rank;
    rank += increasing ? 1 : -1;
  }
  return sum / weights;
}

}  // namespace

std::string CleanPrediction(std::string_view prediction) {
  std::string text(PythonStrip(prediction));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = '\n';
  }
  return std::string(PythonStrip(text));
}

double MatchScore(const RulerAnswer& answer, bool any_reference) {
  if (answer.references.empty()) return 0;
  const std::string prediction = PythonLower(answer.prediction);
  double found = 0;
  for (const std::string& reference : answer.references) {
    if (prediction.find(PythonLower(reference)) != std::string::npos) ++found;
  }
  if (any_reference) return found > 0 ? 1 : 0;
  return found / static_cast<double>(answer.references.size());
}

double RoundToCents(double value) {
  // Like Python, glibc rounds the exact binary value, ties to even.
  return std::strtod(fmt::format("{:.2f}", value).c_str(), nullptr);
}

RulerTaskScore ScoreRulerTask(std::span<const RulerAnswer> answers,
                              const RulerTextTask& task, RulerMode mode) {
  RulerTaskScore result;
  const bool any = task.any_reference && mode != RulerMode::kLmEval;
  for (const RulerAnswer& answer : answers) {
    const RulerAnswer cleaned = {CleanPrediction(answer.prediction),
                                 answer.references};
    result.nulls += cleaned.prediction.empty();
    result.of_samples.push_back(MatchScore(cleaned, any));
  }
  result.samples = static_cast<int64_t>(answers.size());
  if (answers.empty()) return result;
  const double mean =
      std::accumulate(result.of_samples.begin(), result.of_samples.end(), 0.0) /
      static_cast<double>(result.samples);
  result.score = mode == RulerMode::kLmEval ? mean : RoundToCents(mean * 100);
  return result;
}

RulerLengthSummary SummarizeLengths(const std::map<int64_t, double>& scores,
                                    double threshold) {
  RulerLengthSummary summary;
  for (const auto& [length, score] : scores) summary.average += score;
  summary.average /= static_cast<double>(scores.size());
  summary.increasing = WeightedMean(scores, true);
  summary.decreasing = WeightedMean(scores, false);
  summary.all_pass = true;
  for (const auto& [length, score] : scores) {
    if (!(score >= threshold)) {
      summary.all_pass = false;
      break;
    }
    summary.effective = length;
  }
  return summary;
}

std::string EffectiveLengthText(const std::map<int64_t, double>& scores,
                                double threshold) {
  const RulerLengthSummary summary = SummarizeLengths(scores, threshold);
  const std::string shown =
      LengthText(summary.effective.value_or(scores.begin()->first));
  return fmt::format(
      "{}{}", !summary.effective ? "<" : (summary.all_pass ? ">" : ""), shown);
}

}  // namespace rattn
