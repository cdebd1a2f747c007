#include "harness/report_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "harness/text_format.h"

namespace rattn {
namespace {

// Axes that split points into groups that cannot be compared with each other;
// variant, window, length, context and batch of a plot are drawn instead.
constexpr const char* kSplitting[] = {
    "model",       "pattern",  "train_task", "steps",    "backend", "dtype",
    "query_heads", "kv_heads", "head_dim",   "hardware", "threads"};

bool HasTooMany(const std::set<std::string>& values) {
  return values.size() > 1;
}

std::string Key(const Point& point, const std::string& metric) {
  return point.kind + "\n" + metric + "\n" + point.axes.dump();
}

}  // namespace

ReportInput::ReportInput(RunData data) : run(std::move(data)) {
  machine = MachineName(run);
  points = BestLearningRates(Aggregate(run.cells), &notes);
  std::set<std::string> sinks;
  for (const Point& point : points) {
    if (!point.Text("sinks").empty()) sinks.insert(point.Text("sinks"));
  }
  sinks_vary_ = HasTooMany(sinks);
  for (const Point& point : points) {
    if (!point.Text("variant").empty()) series.push_back(Series(point));
  }
  series = InCatalogOrder(series);
  Sort();
}

// Cells come in the order of their file names, which are hashes.
void ReportInput::Sort() {
  const auto place = [&](const Point& point) {
    return std::find(series.begin(), series.end(), Series(point)) -
           series.begin();
  };
  // Patterns with fewer global layers first.
  const auto globals = [](const std::string& pattern) {
    return std::count(pattern.begin(), pattern.end(), 'G');
  };
  const auto key = [&](const Point& p) {
    const std::string pattern = p.Text("pattern");
    return std::tuple(p.kind, p.Text("task"), p.Text("model"), globals(pattern),
                      pattern, p.Text("phase"), p.Text("backend"),
                      p.Text("dtype"), place(p), Window(p).value_or(0),
                      p.Number("length").value_or(0),
                      p.Number("context").value_or(0),
                      p.Number("batch").value_or(0), p.axes.dump());
  };
  std::vector<std::pair<decltype(key(points[0])), size_t>> order;
  for (size_t i = 0; i < points.size(); ++i)
    order.emplace_back(key(points[i]), i);
  std::sort(order.begin(), order.end());
  std::vector<Point> sorted;
  for (const auto& [unused, i] : order) sorted.push_back(std::move(points[i]));
  points = std::move(sorted);
}

Points ReportInput::Where(
    const std::function<bool(const Point&)>& holds) const {
  Points chosen;
  for (const Point& point : points) {
    if (holds(point)) chosen.push_back(&point);
  }
  return chosen;
}

std::vector<std::string> ReportInput::Tasks() const {
  std::vector<std::string> tasks;
  for (const Point& point : points) {
    const std::string task = point.Text("task");
    if (point.headline &&
        std::find(tasks.begin(), tasks.end(), task) == tasks.end()) {
      tasks.push_back(task);
    }
  }
  return tasks;
}

Points ReportInput::Scores(const std::string& task, bool all_lengths) const {
  const Points all = Where([&](const Point& point) {
    return point.headline && point.Text("task") == task;
  });
  const std::vector<double> lengths = DistinctNumbers(all, "length");
  if (all_lengths || lengths.empty()) return all;
  Points shortest;
  for (const Point* point : all) {
    if (point->Number("length") == lengths.front()) shortest.push_back(point);
  }
  return shortest;
}

const Point* ReportInput::Sibling(const Point& point,
                                  const std::string& metric) const {
  const std::string key = Key(point, metric);
  for (const Point& other : points) {
    if (other.metric == metric && Key(other, metric) == key) return &other;
  }
  return nullptr;
}

std::string ReportInput::Series(const Point& point) const {
  const std::string sinks = point.Text("sinks");
  return sinks_vary_ && !sinks.empty()
             ? fmt::format("{} ({})", point.Text("variant"), sinks)
             : point.Text("variant");
}

bool IsMixerRate(const Point& point) {
  return point.kind == "kernel" && point.metric == "throughput" &&
         point.Number("context");
}

std::optional<double> Window(const Point& point) {
  return point.Number("window_keys");
}

std::string WindowText(const Point& point) {
  const auto window = Window(point);
  return window ? fmt::format("W = {}", *window) : "";
}

std::string Named(const ReportInput& input, const Point& point) {
  const auto window = Window(point);
  return window ? fmt::format("{} W={}", input.Series(point), *window)
                : input.Series(point);
}

Facets::Facets(const Points& points, std::vector<std::string> always) {
  for (const char* axis : kSplitting) {
    std::set<std::string> values;
    for (const Point* point : points) values.insert(point->Text(axis));
    const bool wanted =
        std::find(always.begin(), always.end(), axis) != always.end();
    if (HasTooMany(values) || (wanted && !values.contains(""))) {
      axes_.push_back(axis);
    }
  }
}

std::string Facets::Label(const Point& point) const {
  std::string label;
  for (const std::string& axis : axes_) {
    const std::string value = point.Text(axis);
    if (value.empty()) continue;
    if (!label.empty()) label += ", ";
    // These values say what they are without the name of their axis.
    const bool plain = axis == "model" || axis == "dtype" || axis == "hardware";
    label += plain ? value : axis + " " + value;
  }
  return label;
}

std::optional<CacheFigure> CacheOf(const ReportInput& input,
                                   const Point& point) {
  for (const auto& [kv, state, measured] :
       {std::tuple{"measured_kv_bytes", "measured_state_bytes", true},
        std::tuple{"kv_bytes", "state_bytes", point.kind == "eval"}}) {
    const Point* keys = input.Sibling(point, kv);
    const Point* states = input.Sibling(point, state);
    if (keys != nullptr && states != nullptr) {
      return CacheFigure{keys->value + states->value, measured};
    }
  }
  return std::nullopt;
}

std::vector<double> DistinctNumbers(const Points& points,
                                    const std::string& axis) {
  std::set<double> values;
  for (const Point* point : points) {
    if (const auto value = point->Number(axis)) values.insert(*value);
  }
  return {values.begin(), values.end()};
}

}  // namespace rattn
