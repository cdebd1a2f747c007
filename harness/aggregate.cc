#include "harness/aggregate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "harness/fields.h"
#include "harness/text_format.h"

namespace rattn {
namespace {

constexpr double kSampling = 1.96;  // 95 % of a normal distribution

Json Without(Json values, std::initializer_list<const char*> keys) {
  for (const char* key : keys) values.erase(key);
  return values;
}

bool IsEval(const std::string& kind) {
  return kind == "eval" || kind == "checkpoint_eval";
}

struct Range {
  double low, high;
};

std::optional<double> StatOf(const CellResult& result, const char* key) {
  if (!result.stats.is_object()) return std::nullopt;
  const auto it = result.stats.find(key);
  if (it == result.stats.end() || !it->is_number()) return std::nullopt;
  const double value = *it;
  if (!(value > 0) || !std::isfinite(value)) return std::nullopt;
  return value;
}

// The samples of a cell are seconds: a rate falls where they grow.
Range TimedRange(const CellResult& result, const Metric& metric) {
  const double value = *metric.value;
  const auto q1 = StatOf(result, "q1"), q3 = StatOf(result, "q3"),
             median = StatOf(result, "median");
  if (!q1 || !q3 || !median) return {value, value};
  if (metric.unit == "s") return {value * *q1 / *median, value * *q3 / *median};
  return {value * *median / *q3, value * *median / *q1};
}

bool IsTimed(const ReportCell& cell, const Metric& metric) {
  const bool per_second = metric.unit == "s" || metric.unit.ends_with("/s");
  return per_second &&
         (cell.kind == "kernel" || metric.key == "decode_throughput");
}

Range Clamped(Range range, const Metric& metric) {
  const double most = metric.unit == "fraction"  ? 1
                      : metric.unit == "percent" ? 100
                                                 : INFINITY;
  if (most == INFINITY) return range;
  const double value = *metric.value;
  return {std::min(value, std::max(range.low, 0.0)),
          std::max(value, std::min(range.high, most))};
}

Range RangeOf(const ReportCell& cell, const Metric& metric) {
  if (IsTimed(cell, metric)) return TimedRange(cell.result, metric);
  const double margin = kSampling * metric.standard_error.value_or(0);
  const double value = *metric.value;
  return Clamped({value - margin, value + margin}, metric);
}

// Distinct parameter sets per task; only tasks with several are renamed.
std::map<std::string, std::set<std::string>> ParameterSets(
    const std::vector<ReportCell>& cells) {
  std::map<std::string, std::set<std::string>> sets;
  for (const ReportCell& cell : cells) {
    if (cell.kind != "eval") continue;
    sets[ValueText(cell.axes.value("task", Json("")))].insert(
        cell.params.value("task_params", Json::object()).dump());
  }
  return sets;
}

std::string ParametersText(const Json& parameters) {
  std::string text;
  for (const auto& [key, value] : parameters.items()) {
    if (!text.empty()) text += ", ";
    text += key + "=" + ValueText(value);
  }
  return text;
}

// Axes of the point that a cell belongs to.
Json PointAxes(const ReportCell& cell,
               const std::map<std::string, std::set<std::string>>& sets) {
  Json axes = Without(cell.axes, {"seed"});
  if (cell.kind == "eval" && axes.contains("task")) {
    const std::string task = ValueText(axes["task"]);
    const Json parameters = cell.params.value("task_params", Json::object());
    if (const auto it = sets.find(task);
        it != sets.end() && it->second.size() > 1 && !parameters.empty()) {
      axes["task"] = fmt::format("{} ({})", task, ParametersText(parameters));
    }
  }
  const Json train_task = cell.params.value("train_task", Json());
  if (!train_task.is_null()) axes["train_task"] = train_task;
  return axes;
}

class Collector {
 public:
  explicit Collector(const std::vector<ReportCell>& cells)
      : sets_(ParameterSets(cells)) {}

  void Add(const ReportCell& cell) {
    const Json axes = PointAxes(cell, sets_);
    const std::string group =
        cell.kind + axes.dump() +
        Without(cell.params, {"seed", "eval_seed", "threads"}).dump();
    bool first = true;
    for (const Metric& metric : cell.result.metrics) {
      const bool headline = IsEval(cell.kind) && first;
      first = false;
      if (!metric.value || !std::isfinite(*metric.value)) continue;
      AddMetric(cell, metric, headline, axes, group + "\n" + metric.key);
    }
  }

  std::vector<Point> Finish() {
    for (Point& point : points_) point.value /= point.seeds;
    return std::move(points_);
  }

 private:
  void AddMetric(const ReportCell& cell, const Metric& metric, bool headline,
                 const Json& axes, const std::string& key) {
    const Range range = RangeOf(cell, metric);
    const auto [it, fresh] = index_.try_emplace(key, points_.size());
    if (fresh) {
      Point point;
      point.kind = cell.kind;
      point.metric = metric.key;
      point.unit = metric.unit;
      point.better = metric.better;
      point.headline = headline;
      point.axes = axes;
      point.low = range.low;
      point.high = range.high;
      point.chance = metric.chance;
      points_.push_back(std::move(point));
    }
    Point& point = points_[it->second];
    point.value += *metric.value;  // a sum until Finish
    point.low = std::min(point.low, range.low);
    point.high = std::max(point.high, range.high);
    ++point.seeds;
    point.cells.push_back(cell.id);
  }

  std::map<std::string, std::set<std::string>> sets_;
  std::map<std::string, size_t> index_;
  std::vector<Point> points_;
};

// A training and what was scored of it, whatever the learning rate.
std::string TrainingKey(const Point& point, bool with_rate) {
  Json axes = point.axes;
  axes.erase("length");
  axes.erase("task");
  if (!with_rate) axes.erase("lr");
  const bool eval = point.kind == "eval";
  return (eval ? "eval" : point.kind) + axes.dump() +
         (eval ? point.Text("task") : "");
}

bool IsBetter(double a, double b, Better better) {
  return better == Better::kLower ? a < b : a > b;
}

}  // namespace

std::string Point::Text(const std::string& axis) const {
  const auto it = axes.find(axis);
  return it == axes.end() || it->is_null() ? "" : ValueText(*it);
}

std::optional<double> Point::Number(const std::string& axis) const {
  const auto it = axes.find(axis);
  if (it == axes.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

std::vector<Point> Aggregate(const std::vector<ReportCell>& cells) {
  Collector collector(cells);
  for (const ReportCell& cell : cells) {
    if (cell.result.status == CellStatus::kDone) collector.Add(cell);
  }
  return collector.Finish();
}

std::vector<Point> BestLearningRates(std::vector<Point> points,
                                     std::vector<std::string>* notes) {
  // Per training (without the rate): its rates and the score of each.
  std::map<std::string, std::map<std::string, const Point*>> rates;
  for (const Point& point : points) {
    if (!point.headline || !point.Number("lr")) continue;
    const Point*& best = rates[TrainingKey(point, false)][point.Text("lr")];
    if (best == nullptr || point.Number("length").value_or(0) <
                               best->Number("length").value_or(0)) {
      best = &point;
    }
  }
  std::set<std::string> dropped;
  for (const auto& [training, by_rate] : rates) {
    if (by_rate.size() < 2) continue;
    const Point* best = by_rate.begin()->second;
    for (const auto& [rate, point] : by_rate) {
      if (IsBetter(point->value, best->value, point->better)) best = point;
    }
    for (const auto& [rate, point] : by_rate) {
      if (point != best) dropped.insert(TrainingKey(*point, true));
    }
    notes->push_back(
        fmt::format("{} {}: the best of {} learning rates is shown ({})",
                    best->Text("task"), best->Text("variant"), by_rate.size(),
                    best->Text("lr")));
  }
  std::erase_if(points, [&](const Point& point) {
    return point.kind == "eval" && dropped.contains(TrainingKey(point, true));
  });
  std::sort(notes->begin(), notes->end());
  return points;
}

Json ToJson(const Point& point) {
  const Json better =
      point.better == Better::kNeither
          ? Json()
          : Json(point.better == Better::kHigher ? "higher" : "lower");
  return {{"kind", point.kind},
          {"axes", point.axes},
          {"metric", point.metric},
          {"unit", point.unit},
          {"better", better},
          {"headline", point.headline},
          {"value", point.value},
          {"low", point.low},
          {"high", point.high},
          {"chance", point.chance ? Json(*point.chance) : Json()},
          {"seeds", point.seeds},
          {"cells", point.cells}};
}

bool ClearlyBetter(const Point& a, const Point& b) {
  return a.better == Better::kLower ? a.high < b.low : a.low > b.high;
}

}  // namespace rattn
