#include "harness/report_roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "harness/fields.h"
#include "harness/report_text.h"

namespace rattn {
namespace {

const ReportCell* CellOf(const ReportInput& input, const Point& point) {
  for (const ReportCell& cell : input.run.cells) {
    if (!point.cells.empty() && cell.id == point.cells.front()) return &cell;
  }
  return nullptr;
}

// "swa W=4096", or "" where the points have several.
std::string BaselineText(const ReportInput& input, const Points& points) {
  std::set<std::string> names;
  for (const Point* point : points) {
    const ReportCell* cell = CellOf(input, *point);
    const Json params = cell == nullptr ? Json::object() : cell->params;
    const Json window = params.value("baseline_window", Json());
    std::string name = ValueText(params.value("baseline", Json("")));
    if (window.is_number()) name += " W=" + ValueText(window);
    names.insert(name);
  }
  return names.size() == 1 ? *names.begin() : "";
}

bool Fits(const ReportInput& input, const Point& point) {
  const ReportCell* cell = CellOf(input, point);
  return cell == nullptr || !cell->result.detail.is_object() ||
         cell->result.detail.value("fits", Json(true)) != false;
}

}  // namespace

void AddRooflinePlot(const ReportInput& input, ReportPlots* out) {
  constexpr const char* kTitle = "Predicted speed-up of a decoding step";
  const Points points = input.Where([](const Point& point) {
    return point.kind == "roofline" && point.metric == "speedup";
  });
  if (points.empty()) {
    out->missing.push_back({kTitle, "the run has no roofline cells"});
    return;
  }
  Plot plot;
  const Facets facets(points, {"model", "hardware"});
  for (const Point* point : points) {
    PlotRow row = RowOf(input, *point);
    row.x = point->Number("batch").value_or(0);
    row.row = facets.Label(*point);
    if (!Fits(input, *point)) row.label = "*";
    row.column = fmt::format("context {}; {}", point->Text("context"),
                             WindowText(*point));
    plot.rows.push_back(row);
  }
  plot.name = "roofline-speedup";
  plot.title = kTitle;
  plot.subtitle = "step-time model, not a measurement";
  plot.caption =
      "T_step = B*S_kv/BW + max(2*B*P/F, P_size/BW); attention "
      "arithmetic, launches and communication are not modelled.";
  plot.x = {"batch (sequences)", AxisKind::kCounts};
  plot.y = {"speed-up over the baseline (ratio)", AxisKind::kLinear};
  plot.chance = 1;
  plot.chance_label = "baseline";
  if (const std::string name = BaselineText(input, points); !name.empty()) {
    plot.chance_label += " " + name;
  }
  if (std::any_of(plot.rows.begin(), plot.rows.end(),
                  [](const PlotRow& row) { return !row.label.empty(); })) {
    plot.caption += " Points with a * need more memory than the machine has.";
  }
  out->plots.push_back(plot);
}

}  // namespace rattn
