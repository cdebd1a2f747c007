#include "harness/report_pareto.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/pareto.h"
#include "harness/report_text.h"

namespace rattn {
namespace {

constexpr ParetoCost kCosts[] = {
    {"memory", "cache_bytes", "keys, values and states per sequence, measured",
     "cache memory", "B", Better::kLower, AxisKind::kBytes},
    {"decode", "decode_throughput", "decoding of the model (tokens/s)",
     "decoding speed", "tokens/s", Better::kHigher, AxisKind::kLog},
};

bool CostOf(const ReportInput& input, const ParetoCost& cost,
            const Point& quality, ParetoResult::Entry* entry) {
  if (cost.axis == AxisKind::kBytes) {
    const auto cache = CacheOf(input, quality);
    if (!cache || !cache->measured) return false;
    *entry = {&quality, cache->bytes, cache->bytes, cache->bytes, false};
    return true;
  }
  const Point* speed = input.Sibling(quality, cost.metric);
  if (speed == nullptr) return false;
  *entry = {&quality, speed->value, speed->low, speed->high, false};
  return true;
}

void MarkFront(ParetoResult* result) {
  std::vector<ParetoPoint> points;
  for (const auto& entry : result->entries) {
    points.push_back({entry.cost, entry.quality->value, entry.low, entry.high});
  }
  const Better quality = result->entries.front().quality->better;
  for (const size_t i : ParetoFront(points, result->better, quality)) {
    result->entries[i].front = true;
  }
}

Plot ParetoPlot(const ReportInput& input, const std::string& task,
                const ParetoCost& cost,
                const std::vector<ParetoResult>& results) {
  const Point& any = *results.front().entries.front().quality;
  Plot plot;
  plot.task = task;
  plot.name = fmt::format("pareto-{}-{}", cost.name, FileName(task));
  plot.title = fmt::format("{}: quality against {}", task, cost.what);
  plot.subtitle = fmt::format(
      "{}; {}; {}; filled marks and the dashed line are "
      "the Pareto front",
      input.machine, LengthText(any), DecodeContextText(any));
  plot.caption = fmt::format(
      "No other point beats a filled one in score without costing clearly "
      "more; costs whose bars touch count as equal. Here the cost is the {}, "
      "measured with {}.",
      cost.what, DecodeContextText(any));
  plot.x = {cost.title, cost.axis};
  plot.y = ScoreAxis(any);
  plot.chance = any.chance;
  plot.pareto = true;
  for (const ParetoResult& result : results) {
    for (const auto& entry : result.entries) {
      PlotRow row = RowOf(input, *entry.quality);
      row.column = result.facet;
      row.x = entry.cost;
      row.x_low = entry.low;
      row.x_high = entry.high;
      row.label = Window(*entry.quality)
                      ? fmt::format("W {}", *Window(*entry.quality))
                      : "";
      row.front = entry.front;
      plot.rows.push_back(row);
    }
  }
  return plot;
}

}  // namespace

void AddParetoPlots(const ReportInput& input, const std::string& task,
                    ReportPlots* out) {
  const Points scores = input.Scores(task);
  const Facets facets(scores, {"pattern"});
  for (const ParetoCost& cost : kCosts) {
    std::vector<ParetoResult> results;
    for (const Point* score : scores) {
      ParetoResult::Entry entry;
      if (!CostOf(input, cost, *score, &entry)) continue;
      const std::string facet = facets.Label(*score);
      auto it = std::find_if(results.begin(), results.end(),
                             [&](const auto& r) { return r.facet == facet; });
      if (it == results.end()) {
        it = results.insert(
            it, {task, facet, cost.metric, cost.unit, cost.better, {}});
      }
      it->entries.push_back(entry);
    }
    if (results.empty()) {
      out->missing.push_back(
          {fmt::format("{}: quality against {}", task, cost.what),
           fmt::format("its eval cells carry no {}", cost.metric)});
      continue;
    }
    for (ParetoResult& result : results) MarkFront(&result);
    out->plots.push_back(ParetoPlot(input, task, cost, results));
    out->pareto.insert(out->pareto.end(), results.begin(), results.end());
  }
}

}  // namespace rattn
