#include "harness/checkpoint_metrics.h"

#include <utility>

namespace rattn {
namespace {

Metric MetricOf(std::string key, std::string unit, const Estimate& estimate,
                bool higher_is_better, int64_t n) {
  Metric metric{std::move(key), estimate.value, std::move(unit),
                higher_is_better ? Better::kHigher : Better::kLower};
  metric.standard_error = estimate.standard_error;
  metric.n = n;
  return metric;
}

// Every task counts the same.
std::vector<Metric> RulerMetrics(const CheckpointEvalResult& result) {
  std::vector<GroupMember> members;
  std::vector<Metric> parts;
  int64_t n = 0;
  for (const TextEvalResult& one : result.results) {
    Estimate estimate = one.metrics.front().estimate;
    const double scale = result.ruler_mode == RulerMode::kLmEval ? 100 : 1;
    estimate.value *= scale;
    if (estimate.standard_error) *estimate.standard_error *= scale;
    members.push_back({estimate.value, estimate.standard_error, one.evaluated});
    parts.push_back(MetricOf("score." + one.name, "percent", estimate, true,
                             one.evaluated));
    n += one.evaluated;
  }
  std::vector<Metric> metrics = {
      MetricOf("score", "percent", MeanByMember(members), true, n)};
  if (parts.size() > 1) {
    metrics.insert(metrics.end(), parts.begin(), parts.end());
  }
  return metrics;
}

// A group's scores by document and by subject.
std::vector<Metric> GroupMetrics(const Json& group) {
  std::vector<Metric> metrics;
  for (const auto& [key, value] : group.items()) {
    const size_t comma = key.find(',');
    const std::string name = key.substr(0, comma);
    if (comma == std::string::npos || name.ends_with("_stderr") ||
        name.ends_with("_ci95") || name.ends_with("_chance")) {
      continue;
    }
    Metric metric{name, value.get<double>(), "fraction", Better::kHigher};
    const Json error =
        group.value(name + "_stderr" + key.substr(comma), Json());
    if (error.is_number()) metric.standard_error = error.get<double>();
    const Json chance =
        group.value(name + "_chance" + key.substr(comma), Json());
    if (chance.is_number()) metric.chance = chance.get<double>();
    metric.n = group.at("sample_len").get<int64_t>();
    metrics.push_back(metric);
  }
  return metrics;
}

}  // namespace

std::vector<Metric> CheckpointMetrics(const CheckpointEvalResult& result,
                                      const Json& json,
                                      const std::string& task) {
  if (!result.ruler.empty()) return RulerMetrics(result);
  if (json.contains("groups") && json["groups"].contains(task)) {
    return GroupMetrics(json["groups"][task]);
  }
  std::vector<Metric> metrics;
  const TextEvalResult& one = result.results.front();
  for (const TextMetric& metric : one.metrics) {
    const std::string key = metric.filter == "none"
                                ? metric.name
                                : metric.name + "." + metric.filter;
    metrics.push_back(
        MetricOf(key, metric.higher_is_better ? "fraction" : metric.name,
                 metric.estimate, metric.higher_is_better, one.evaluated));
    metrics.back().chance = metric.chance;
  }
  return metrics;
}

}  // namespace rattn
