#include "harness/plot_spec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "kernels/catalog.h"

namespace rattn {
namespace {

// Okabe and Ito, "Color Universal Design" (2008); yellow last, as it is the
// hardest to see on white.
constexpr std::array kColors = {"#000000", "#D55E00", "#E69F00", "#0072B2",
                                "#009E73", "#CC79A7", "#56B4E9", "#F0E442"};
constexpr std::array kShapes = {
    "circle",        "square", "triangle-up",    "diamond",
    "triangle-down", "cross",  "triangle-right", "triangle-left"};
const std::vector<std::vector<int>> kDashes = {
    {1, 0}, {7, 3}, {2, 2}, {10, 2, 2, 2}, {5, 5}, {12, 4}, {1, 3}, {3, 1}};

constexpr double kWidth = 560;  // of all columns together
constexpr double kHeight = 300;
constexpr double kFacetHeight = 210;
constexpr double kGap = 24;
constexpr const char* kGrey = "#666666";

template <typename List>
Json Cycled(const List& list, size_t count) {
  Json out = Json::array();
  for (size_t i = 0; i < count; ++i) out.push_back(list[i % list.size()]);
  return out;
}

Json Values(const Plot& plot) {
  Json values = Json::array();
  for (const PlotRow& row : plot.rows) {
    values.push_back({{"series", row.series},
                      {"window", row.window ? Json(*row.window) : Json()},
                      {"row", row.row},
                      {"column", row.column},
                      {"x", row.x},
                      {"y", row.y},
                      {"low", row.low},
                      {"high", row.high},
                      {"x_low", row.x_low.value_or(row.x)},
                      {"x_high", row.x_high.value_or(row.x)},
                      {"seeds", row.seeds},
                      {"label", row.label},
                      {"front", row.front},
                      {"cells", row.cells}});
  }
  return values;
}

Json DistinctX(const Plot& plot) {
  std::set<double> values;
  for (const PlotRow& row : plot.rows) {
    if (!(plot.flat_series && !row.window)) values.insert(row.x);
  }
  return Json(std::vector<double>(values.begin(), values.end()));
}

constexpr const char* kCountLabel =
    "datum.value >= 1024 && datum.value % 1024 == 0 ? datum.value / 1024 + "
    "'Ki' : format(datum.value, ',')";
constexpr const char* kBytesLabel =
    "datum.value >= 1073741824 ? format(datum.value / 1073741824, '.3~g') + ' "
    "GiB' : datum.value >= 1048576 ? format(datum.value / 1048576, '.3~g') + "
    "' MiB' : datum.value >= 1024 ? format(datum.value / 1024, '.3~g') + ' "
    "KiB' : datum.value + ' B'";

// 1, 2 and 5 of every decade; the others only crowd the axis.
constexpr const char* kLogLabel =
    "indexof([1, 2, 5], round(datum.value / pow(10, floor(log(datum.value) / "
    "LN10 + 1e-9)))) >= 0 ? format(datum.value, '~s') : ''";
constexpr const char* kIsDecade =
    "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6";

Json Scale(AxisKind kind) {
  switch (kind) {
    case AxisKind::kLinear:
      return {{"zero", false}, {"nice", true}};
    case AxisKind::kLog:
      return {{"type", "log"}, {"nice", true}};
    case AxisKind::kCounts:
    case AxisKind::kBytes:
      return {{"type", "log"}, {"base", 2}, {"nice", false}, {"padding", 14}};
    case AxisKind::kFraction:
      return {{"domain", {0, 1}}};
    case AxisKind::kPercent:
      return {{"domain", {0, 100}}};
  }
  return Json::object();
}

Json AxisStyle(AxisKind kind) {
  switch (kind) {
    case AxisKind::kLog:
      return {{"labelExpr", kLogLabel},
              {"gridOpacity",
               {{"condition", {{"test", kIsDecade}, {"value", 1}}},
                {"value", 0.35}}}};
    case AxisKind::kCounts:
      return {{"labelExpr", kCountLabel}, {"labelOverlap", true}};
    case AxisKind::kBytes:
      return {{"labelExpr", kBytesLabel},
              {"labelOverlap", "greedy"},
              {"labelSeparation", 10}};
    default:
      return Json::object();
  }
}

Json Channel(const char* field, const PlotAxis& axis) {
  Json style = AxisStyle(axis.kind);
  style["title"] = axis.title;
  return {{"field", field},
          {"type", "quantitative"},
          {"scale", Scale(axis.kind)},
          {"axis", style}};
}

// The legend follows `series`, whatever a plot holds of it.
struct Style {
  explicit Style(const Plot& plot, const std::vector<std::string>& series) {
    std::set<std::string> used;
    for (const PlotRow& row : plot.rows) used.insert(row.series);
    Json domain = Json::array(), colors = Json::array(), shapes = Json::array(),
         dashes = Json::array();
    const Json all_colors = Cycled(kColors, series.size()),
               all_shapes = Cycled(kShapes, series.size()),
               all_dashes = Cycled(kDashes, series.size());
    for (size_t i = 0; i < series.size(); ++i) {
      if (!used.contains(series[i])) continue;
      domain.push_back(series[i]);
      colors.push_back(all_colors[i]);
      shapes.push_back(all_shapes[i]);
      dashes.push_back(all_dashes[i]);
    }
    const auto channel = [&](const Json& range) -> Json {
      return {{"field", "series"},
              {"type", "nominal"},
              {"title", plot.series_title},
              {"legend", {{"symbolOpacity", 1}}},
              {"scale", {{"domain", domain}, {"range", range}}}};
    };
    color = channel(colors);
    shape = channel(shapes);
    dash = channel(dashes);
  }
  Json color, shape, dash;
};

const Json kOpacity = {{"condition", {{"param", "pick"}, {"value", 1}}},
                       {"value", 0.12}};

Json Tooltip(const Plot& plot) {
  const auto field = [](const char* name, const std::string& title) -> Json {
    return {{"field", name}, {"title", title}};
  };
  Json fields = {
      field("series", plot.series_title), field("window", "window (keys)"),
      field("x", plot.x.title),           field("y", plot.y.title),
      field("low", "bar from"),           field("high", "bar to"),
      field("seeds", "cells behind it"),  field("cells", "cell")};
  for (const char* facet : {"row", "column"}) {
    const bool used = std::any_of(
        plot.rows.begin(), plot.rows.end(), [&](const PlotRow& row) {
          return !(facet[0] == 'r' ? row.row : row.column).empty();
        });
    if (used) fields.push_back(field(facet, "group"));
  }
  return fields;
}

class Layers {
 public:
  Layers(const Plot& plot, const std::vector<std::string>& series)
      : plot_(plot), style_(plot, series) {}

  Json All() {
    Json layers = Json::array();
    if (plot_.flat_series) {
      layers.push_back(Band());
      layers.push_back(Rule());
    }
    if (plot_.chance) {
      layers.push_back(ChanceRule());
      layers.push_back(ChanceText());
    }
    layers.push_back(Bars());
    if (plot_.pareto) layers.push_back(CostBars());
    layers.push_back(Line());
    if (plot_.pareto) layers.push_back(BeatenPoints());
    layers.push_back(Points());
    if (HasLabels()) layers.push_back(Labels());
    return layers;
  }

 private:
  Json Select(bool flat) const {
    if (!plot_.flat_series) return Json::array();
    return Json::array(
        {{{"filter", flat ? "datum.window == null" : "datum.window != null"}}});
  }
  Json Encoding(bool with_x) const {
    Json encoding = {{"y", Channel("y", plot_.y)},
                     {"color", style_.color},
                     {"opacity", kOpacity}};
    if (with_x) {
      encoding["x"] = Channel("x", plot_.x);
      if (plot_.x.kind == AxisKind::kCounts) {
        encoding["x"]["axis"]["values"] = DistinctX(plot_);
      }
    }
    return encoding;
  }
  Json Layer(Json mark, bool flat, Json encoding) const {
    return {{"transform", Select(flat)},
            {"mark", std::move(mark)},
            {"encoding", std::move(encoding)}};
  }

  Json Band() const {
    Json encoding = Encoding(false);
    encoding["y"]["field"] = "low";
    encoding["y2"] = {{"field", "high"}};
    encoding.erase("opacity");
    return Layer({{"type", "rect"}, {"opacity", 0.12}}, true, encoding);
  }
  Json Rule() const {
    Json encoding = Encoding(false);
    encoding["strokeDash"] = style_.dash;
    encoding["tooltip"] = Tooltip(plot_);
    return Layer({{"type", "rule"}, {"strokeWidth", 2}}, true, encoding);
  }
  // Data of its own: drawn once in every facet.
  Json ChanceLayer(Json mark, Json encoding) const {
    encoding["y"] = {{"datum", *plot_.chance}};
    return {{"data", {{"values", Json::array({Json::object()})}}},
            {"mark", std::move(mark)},
            {"encoding", std::move(encoding)}};
  }
  Json ChanceRule() const {
    return ChanceLayer(
        {{"type", "rule"}, {"color", kGrey}, {"strokeDash", {3, 3}}},
        Json::object());
  }
  // Below its line: scores that hardly beat chance run just above it.
  Json ChanceText() const {
    return ChanceLayer({{"type", "text"},
                        {"text", plot_.chance_label},
                        {"color", kGrey},
                        {"fontSize", 10},
                        {"align", "right"},
                        {"baseline", "top"},
                        {"dx", -3},
                        {"dy", 3}},
                       {{"x", {{"value", "width"}}}});
  }
  Json Bars() const {
    Json encoding = Encoding(true);
    encoding["y"]["field"] = "low";
    encoding["y2"] = {{"field", "high"}};
    return Layer({{"type", "rule"}, {"strokeWidth", 1.5}}, false, encoding);
  }
  Json CostBars() const {
    Json encoding = Encoding(true);
    encoding["x"]["field"] = "x_low";
    encoding["x2"] = {{"field", "x_high"}};
    return Layer({{"type", "rule"}, {"strokeWidth", 1.5}}, false, encoding);
  }
  Json Line() const {
    Json encoding = Encoding(true);
    if (!plot_.pareto) {
      encoding["strokeDash"] = style_.dash;
      return Layer({{"type", "line"}, {"strokeWidth", 2}}, false, encoding);
    }
    encoding["color"] = {{"value", kGrey}};
    encoding["opacity"] = {{"value", 0.7}};
    encoding["order"] = {{"field", "x"}};
    Json layer =
        Layer({{"type", "line"}, {"strokeDash", {4, 3}}}, false, encoding);
    layer["transform"].push_back({{"filter", "datum.front"}});
    return layer;
  }
  Json Points() const {
    Json layer = PointLayer(true);
    if (plot_.pareto) layer["transform"].push_back({{"filter", "datum.front"}});
    layer["params"] =
        Json::array({{{"name", "pick"},
                      {"select", {{"type", "point"}, {"fields", {"series"}}}},
                      {"bind", "legend"}}});
    return layer;
  }
  Json BeatenPoints() const {
    Json layer = PointLayer(false);
    layer["transform"].push_back({{"filter", "!datum.front"}});
    return layer;
  }
  Json PointLayer(bool filled) const {
    Json encoding = Encoding(true);
    encoding["shape"] = style_.shape;
    encoding["tooltip"] = Tooltip(plot_);
    return Layer({{"type", "point"}, {"filled", filled}, {"size", 75}}, false,
                 encoding);
  }
  Json Labels() const {
    Json encoding = Encoding(true);
    encoding["text"] = {{"field", "label"}};
    Json layer = Layer({{"type", "text"},
                        {"align", "left"},
                        {"dx", 7},
                        {"dy", -6},
                        {"fontSize", 10}},
                       false, encoding);
    if (plot_.pareto) layer["transform"].push_back({{"filter", "datum.front"}});
    return layer;
  }
  bool HasLabels() const {
    return std::any_of(plot_.rows.begin(), plot_.rows.end(),
                       [](const PlotRow& row) { return !row.label.empty(); });
  }

  const Plot& plot_;
  Style style_;
};

std::vector<std::string> Distinct(const Plot& plot,
                                  std::string PlotRow::*field) {
  std::vector<std::string> values;
  for (const PlotRow& row : plot.rows) {
    if (std::find(values.begin(), values.end(), row.*field) == values.end()) {
      values.push_back(row.*field);
    }
  }
  return values;
}

Json Facet(const char* field, const std::vector<std::string>& values) {
  Json header = {{"title", nullptr}};
  // Beside a row a long label would be cut.
  if (std::string(field) == "row") {
    header.update(
        {{"labelOrient", "top"}, {"labelAngle", 0}, {"labelAnchor", "start"}});
  }
  return {{"field", field},
          {"type", "nominal"},
          {"sort", values},
          {"header", header}};
}

Json Config() {
  constexpr const char* kFont = "Helvetica, Arial, sans-serif";
  return {{"background", "#ffffff"},
          {"font", kFont},
          {"padding", 8},
          {"axis",
           {{"labelFontSize", 11},
            {"titleFontSize", 12},
            {"titleFontWeight", "normal"},
            {"titlePadding", 8},
            {"gridColor", "#e8e8e8"},
            {"domainColor", "#888888"},
            {"tickColor", "#888888"},
            {"labelColor", "#222222"},
            {"titleColor", "#222222"}}},
          {"legend",
           {{"orient", "bottom"},
            {"titleFontSize", 12},
            {"titleFontWeight", "normal"},
            {"labelFontSize", 12},
            {"symbolSize", 90},
            {"symbolStrokeWidth", 2},
            {"symbolDash", {1, 0}},
            {"labelLimit", 300}}},
          {"header",
           {{"labelFontSize", 12},
            {"titleFontSize", 12},
            {"titleFontWeight", "normal"},
            {"labelColor", "#222222"}}},
          {"title",
           {{"anchor", "start"},
            {"fontSize", 15},
            {"subtitleFontSize", 11},
            {"subtitleColor", "#555555"},
            {"subtitlePadding", 4},
            {"offset", 12}}},
          {"view", {{"stroke", "#cccccc"}}}};
}

// Lines of at most about `width` characters.
Json Wrapped(const std::string& text, size_t width) {
  Json lines = Json::array();
  std::string line;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      lines.push_back(line);
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
    at = end + 1;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

}  // namespace

Json ToVegaLite(const Plot& plot, const std::vector<std::string>& series) {
  const auto rows = Distinct(plot, &PlotRow::row);
  const auto columns = Distinct(plot, &PlotRow::column);
  // The label of a lone facet has no header to stand in.
  std::string subtitle = plot.subtitle;
  for (const auto* labels : {&rows, &columns}) {
    if (labels->size() == 1 && !labels->front().empty()) {
      if (!subtitle.empty()) subtitle += "; ";
      subtitle += labels->front();
    }
  }
  const double count = static_cast<double>(columns.size());
  const bool faceted = rows.size() > 1 || columns.size() > 1;
  Json spec = {
      {"$schema", "https://vega.github.io/schema/vega-lite/v6.json"},
      {"title", {{"text", plot.title}, {"subtitle", Wrapped(subtitle, 92)}}},
      {"config", Config()},
      {"data", {{"values", Values(plot)}}}};
  Json unit = {{"width", std::floor((kWidth - kGap * (count - 1)) / count)},
               {"height", faceted && rows.size() > 1 ? kFacetHeight : kHeight},
               {"layer", Layers(plot, series).All()}};
  if (!faceted) {
    spec.update(unit);
    return spec;
  }
  Json facet = Json::object();
  if (rows.size() > 1) facet["row"] = Facet("row", rows);
  if (columns.size() > 1) facet["column"] = Facet("column", columns);
  spec["facet"] = facet;
  spec["spacing"] = kGap;
  spec["spec"] = unit;
  return spec;
}

std::vector<std::string> InCatalogOrder(std::vector<std::string> names) {
  const auto place = [](const std::string& name) {
    size_t at = 0;
    for (const Variant& variant : Catalog()) {
      if (variant.name == name) return at;
      ++at;
    }
    return at;
  };
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) {
                     return place(a) < place(b);
                   });
  return names;
}

}  // namespace rattn
