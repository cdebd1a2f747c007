#include "harness/report_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "harness/report_pareto.h"
#include "harness/report_roofline.h"
#include "harness/report_text.h"
#include "harness/text_format.h"

namespace rattn {
namespace {

constexpr size_t kMostColumns = 4;
constexpr size_t kMostParts = 5;

// Where many windows would be as many columns: the ends and some between.
std::vector<double> ShownWindows(std::vector<double> windows) {
  if (windows.size() <= kMostColumns) return windows;
  std::vector<double> shown;
  for (size_t i = 0; i < kMostColumns; ++i) {
    shown.push_back(windows[i * (windows.size() - 1) / (kMostColumns - 1)]);
  }
  return shown;
}

std::string Joined(const std::string& a, const std::string& b) {
  return a.empty() || b.empty() ? a + b : a + "; " + b;
}

// Points against their window; those without one are levels.
Plot WindowPlot(const ReportInput& input, const Points& points,
                const std::vector<std::string>& always) {
  Plot plot;
  const Facets facets(points, always);
  std::set<std::string> labels;
  for (const Point* point : points) {
    PlotRow row = RowOf(input, *point);
    row.x = row.window.value_or(0);
    row.column = facets.Label(*point);
    labels.insert(row.column);
    plot.rows.push_back(row);
  }
  // Long names of groups need the whole width: below each other then.
  if (labels.size() > 3) {
    for (PlotRow& row : plot.rows) std::swap(row.row, row.column);
  }
  plot.x = {"window W (keys, the query's own included)", AxisKind::kCounts};
  plot.flat_series = true;
  return plot;
}

// Windows with more than one point along `axis`: one point makes no curve.
std::vector<double> CurvedWindows(const Points& points,
                                  const std::string& axis) {
  std::map<double, std::set<double>> places;
  for (const Point* point : points) {
    const auto at = point->Number(axis);
    if (Window(*point) && at) places[*Window(*point)].insert(*at);
  }
  std::vector<double> windows;
  for (const auto& [window, at] : places) {
    if (at.size() > 1) windows.push_back(window);
  }
  return windows;
}

// Points against another axis, a column per window; a series without a window
// stands in every column.
Plot AxisPlot(const ReportInput& input, const Points& points,
              const std::string& axis, const std::vector<std::string>& always) {
  Plot plot;
  const Facets facets(points, always);
  const auto all = DistinctNumbers(points, "window_keys");
  const auto windows = ShownWindows(CurvedWindows(points, axis));
  for (const Point* point : points) {
    PlotRow row = RowOf(input, *point);
    row.x = point->Number(axis).value_or(0);
    row.row = facets.Label(*point);
    if (windows.empty() && !row.window) plot.rows.push_back(row);
    for (const double window : windows) {
      if (row.window && *row.window != window) continue;
      row.column = fmt::format("W = {}", window);
      plot.rows.push_back(row);
    }
  }
  // Columns in the order of the windows, whatever order the points came in.
  std::stable_sort(plot.rows.begin(), plot.rows.end(),
                   [&](const PlotRow& a, const PlotRow& b) {
                     const auto place = [&](const PlotRow& row) {
                       size_t i = 0;
                       while (i < windows.size() &&
                              row.column != fmt::format("W = {}", windows[i])) {
                         ++i;
                       }
                       return i;
                     };
                     return place(a) < place(b);
                   });
  if (windows.size() < all.size()) {
    plot.subtitle =
        fmt::format("{} of {} windows shown", windows.size(), all.size());
  }
  plot.x.kind = AxisKind::kCounts;
  return plot;
}

void AddMissing(ReportPlots* out, std::string title, std::string reason) {
  out->missing.push_back({std::move(title), std::move(reason)});
}

// Quality of one task.

void AddQualityPlot(const ReportInput& input, const std::string& task,
                    ReportPlots* out) {
  const Points scores = input.Scores(task);
  Plot plot = WindowPlot(input, scores, {"pattern"});
  plot.task = task;
  plot.name = "quality-window-" + FileName(task);
  plot.title = fmt::format("{}: quality against window", task);
  plot.subtitle = Joined(input.machine, LengthText(*scores.front()));
  plot.caption =
      "Variants without a window are horizontal lines with their bars as "
      "bands. " +
      std::string(kErrorBars);
  plot.y = ScoreAxis(*scores.front());
  plot.chance = scores.front()->chance;
  out->plots.push_back(plot);
}

void AddLengthPlot(const ReportInput& input, const std::string& task,
                   ReportPlots* out) {
  const Points scores = input.Scores(task, /*all_lengths=*/true);
  const std::string title = fmt::format("{}: score against length", task);
  const auto lengths = DistinctNumbers(scores, "length");
  if (lengths.size() < 2) {
    AddMissing(out, title, "the run evaluates one length only");
    return;
  }
  Plot plot = AxisPlot(input, scores, "length", {"pattern"});
  plot.task = task;
  plot.name = "score-length-" + FileName(task);
  plot.title = title;
  plot.subtitle = Joined(
      Joined(input.machine,
             fmt::format("1x = {} tokens, {}x = {}", lengths.front(),
                         FormatNumber(lengths.back() / lengths.front(), 3),
                         lengths.back())),
      plot.subtitle);
  plot.caption =
      scores.front()->kind == "eval"
          ? "Evaluated at lengths that training did not see beyond the first; "
            "one column per window."
          : "One column per window.";
  plot.x.title = "tokens of a sequence";
  plot.y = ScoreAxis(*scores.front());
  plot.chance = scores.front()->chance;
  out->plots.push_back(plot);
}

// "accuracy.held_out" is a part, "accuracy.subject.history" a detail of one.
bool IsDetail(const std::string& metric) {
  return std::count(metric.begin(), metric.end(), '.') > 1;
}

// The score and its parts, each against its own chance: trained and held-out
// facts, hops.
void AddPartsPlot(const ReportInput& input, const std::string& task,
                  ReportPlots* out) {
  const Points scores = input.Scores(task);
  std::vector<std::string> metrics;
  const std::string unit = scores.front()->unit;
  const auto length = scores.front()->Number("length");
  const Points parts = input.Where([&](const Point& point) {
    return point.kind == "eval" && point.chance && point.unit == unit &&
           point.Text("task") == task && point.Number("length") == length &&
           !IsDetail(point.metric);
  });
  for (const Point* point : parts) {
    if (std::find(metrics.begin(), metrics.end(), point->metric) ==
        metrics.end()) {
      metrics.push_back(point->metric);
    }
  }
  // More parts than columns fit are a table of the report.
  if (metrics.size() < 2 || metrics.size() > kMostParts) return;
  Plot plot;
  const Facets facets(parts, {"pattern"});
  for (const std::string& metric : metrics) {
    for (const Point* point : parts) {
      if (point->metric != metric) continue;
      PlotRow row = RowOf(input, *point);
      row.x = row.window.value_or(0);
      row.column = metric;
      row.row = facets.Label(*point);
      plot.rows.push_back(row);
    }
  }
  plot.task = task;
  plot.name = "parts-" + FileName(task);
  plot.title = fmt::format("{}: parts of the score", task);
  plot.subtitle = Joined(input.machine, LengthText(*scores.front()));
  plot.caption = "The same runs, part by part.";
  plot.x = {"window W (keys)", AxisKind::kCounts};
  plot.y = ScoreAxis(*parts.front());
  plot.y.title = unit;
  plot.flat_series = true;
  const bool same_chance =
      std::all_of(parts.begin(), parts.end(), [&](const Point* point) {
        return point->chance == parts.front()->chance;
      });
  if (same_chance) plot.chance = parts.front()->chance;
  out->plots.push_back(plot);
}

// Throughput of kernels and of models.

struct PhaseTitle {
  const char* phase;
  const char* words;
};
constexpr PhaseTitle kPhases[] = {
    {"forward", "prefill"},
    {"train", "training (forward and backward)"},
    {"extend", "chunked prefill on a cache"},
    {"decode", "decoding (one token per sequence on a cache)"}};

Points KernelPoints(const ReportInput& input, const std::string& phase) {
  return input.Where([&](const Point& point) {
    return IsMixerRate(point) && point.Text("phase") == phase;
  });
}

// The shape that all points share, in words.
std::string ShapeText(const Points& points) {
  std::string text;
  for (const char* axis : {"batch", "query_heads", "kv_heads", "head_dim",
                           "dtype", "backend", "threads"}) {
    std::set<std::string> values;
    for (const Point* point : points) values.insert(point->Text(axis));
    if (values.size() != 1 || values.begin()->empty()) continue;
    if (axis == std::string("threads") && *values.begin() == "0") continue;
    text = Joined(text, fmt::format("{} {}", axis, *values.begin()));
  }
  std::replace(text.begin(), text.end(), ';', ',');
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

void AddKernelPlots(const ReportInput& input, const PhaseTitle& phase,
                    ReportPlots* out) {
  const Points points = KernelPoints(input, phase.phase);
  const std::string title = fmt::format("Mixer throughput, {}", phase.words);
  if (points.empty()) {
    AddMissing(out, title,
               fmt::format("the run has no finished kernel cells of phase {}",
                           phase.phase));
    return;
  }
  const std::string subtitle = Joined(input.machine, ShapeText(points));
  const PlotAxis y = {"throughput (tokens/s)", AxisKind::kLog};
  const auto contexts = DistinctNumbers(points, "context");
  if (contexts.size() > 1) {
    Plot plot = AxisPlot(input, points, "context", {});
    plot.name = fmt::format("throughput-context-{}", phase.phase);
    plot.title = title + ", against context";
    plot.subtitle = Joined(subtitle, plot.subtitle);
    plot.caption = "Both axes are logarithmic; bars are quartiles.";
    plot.x.title = "context (tokens)";
    plot.y = y;
    out->plots.push_back(plot);
  } else {
    AddMissing(out, title + ", against context",
               "the run times one context only");
  }
  Points longest;
  for (const Point* point : points) {
    if (point->Number("context") == contexts.back()) longest.push_back(point);
  }
  if (DistinctNumbers(longest, "window_keys").size() < 2) {
    AddMissing(out, title + ", against window",
               "the run times one window only");
    return;
  }
  Plot plot = WindowPlot(input, longest, {});
  plot.name = fmt::format("throughput-window-{}", phase.phase);
  plot.title = title + ", against window";
  plot.subtitle = Joined(
      subtitle, fmt::format("context {} tokens", CountText(contexts.back())));
  plot.caption = "At the longest context of the run.";
  plot.y = y;
  out->plots.push_back(plot);
}

struct ModelRate {
  const char* kind;
  const char* metric;
  const char* title;
  const char* name;
};
constexpr ModelRate kModelRates[] = {
    {"train", "throughput", "Training throughput of the models", "train"},
    {"eval", "decode_throughput", "Decoding throughput of the models",
     "decode"}};

double DecodeContext(const Point& point) {
  const auto context = point.Number("decode_context");
  return context ? *context : point.Number("length").value_or(0);
}

// Of models decoded behind several contexts the longest tells most; one point
// for each if it was measured beside several scored lengths.
void KeepOneContext(Points* points) {
  double longest = 0;
  for (const Point* p : *points) longest = std::max(longest, DecodeContext(*p));
  std::erase_if(*points, [&](const Point* point) {
    return DecodeContext(*point) != longest;
  });
  std::map<std::string, double> shortest;
  for (const Point* point : *points) {
    const double length = point->Number("length").value_or(0);
    const auto it = shortest.try_emplace(point->Text("model"), length).first;
    it->second = std::min(it->second, length);
  }
  std::erase_if(*points, [&](const Point* point) {
    return point->Number("length").value_or(0) !=
           shortest.at(point->Text("model"));
  });
}

void AddModelRatePlot(const ReportInput& input, const ModelRate& rate,
                      ReportPlots* out) {
  Points points = input.Where([&](const Point& point) {
    return point.kind == rate.kind && point.metric == rate.metric;
  });
  KeepOneContext(&points);
  if (points.empty()) {
    AddMissing(out, rate.title,
               fmt::format("no {} cell has a {}", rate.kind, rate.metric));
    return;
  }
  Plot plot = WindowPlot(input, points, {"model", "pattern"});
  plot.name = fmt::format("model-throughput-{}", rate.name);
  plot.title = rate.title;
  plot.subtitle = Joined(input.machine, DecodeContextText(*points.front()));
  plot.caption = "Whole models, not mixers alone.";
  plot.y = {"throughput (tokens/s)", AxisKind::kLinear};
  out->plots.push_back(plot);
}

void AddMemoryPlot(const ReportInput& input, ReportPlots* out) {
  constexpr const char* kTitle = "Cache memory against context";
  Points points = input.Where([](const Point& point) {
    return point.kind == "memory" && point.metric == "kv_bytes";
  });
  std::string axis = "context";
  if (points.empty()) {
    // Evaluations at several lengths measure the same thing.
    points = input.Where([](const Point& point) {
      return point.kind == "eval" && point.metric == "kv_bytes" &&
             !point.Number("decode_context");
    });
    axis = "length";
  }
  if (DistinctNumbers(points, axis).size() < 2) {
    AddMissing(out, kTitle, "the run measures caches at one context at most");
    return;
  }
  bool all_measured = true;
  std::vector<Point> totals;
  for (const Point* point : points) {
    const auto cache = CacheOf(input, *point);
    if (!cache) continue;
    all_measured = all_measured && cache->measured;
    Point total = *point;
    total.value = total.low = total.high = cache->bytes;
    totals.push_back(std::move(total));
  }
  Points chosen;
  for (const Point& total : totals) chosen.push_back(&total);
  if (chosen.empty()) {
    AddMissing(out, kTitle, "the cells carry no state bytes");
    return;
  }
  Plot plot = AxisPlot(input, chosen, axis, {"model", "pattern"});
  plot.name = "memory-context";
  plot.title = kTitle;
  plot.subtitle =
      Joined(Joined(input.machine, all_measured ? "measured at allocation"
                                                : "formula where not measured"),
             plot.subtitle);
  plot.caption = "Keys, values and recurrent states of all layers.";
  plot.x.title = "context (tokens)";
  plot.y = {"keys, values and states", AxisKind::kBytes};
  out->plots.push_back(plot);
}

}  // namespace

ReportPlots BuildPlots(const ReportInput& input) {
  ReportPlots out;
  const std::vector<std::string> tasks = input.Tasks();
  if (tasks.empty()) {
    AddMissing(&out, "Quality against window",
               "the run has no finished eval cells");
  }
  for (const std::string& task : tasks) {
    AddQualityPlot(input, task, &out);
    AddPartsPlot(input, task, &out);
    AddLengthPlot(input, task, &out);
    AddParetoPlots(input, task, &out);
  }
  AddMemoryPlot(input, &out);
  for (const PhaseTitle& phase : kPhases) AddKernelPlots(input, phase, &out);
  for (const ModelRate& rate : kModelRates) {
    AddModelRatePlot(input, rate, &out);
  }
  AddRooflinePlot(input, &out);
  return out;
}

}  // namespace rattn
