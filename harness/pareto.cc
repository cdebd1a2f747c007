#include "harness/pareto.h"

#include <algorithm>
#include <cmath>

namespace rattn {
namespace {

// A point as costs: lower is better in both.
struct Costs {
  double x, low, high, y;
};

Costs CostsOf(const ParetoPoint& p, Better x_better, Better y_better) {
  const double y = y_better == Better::kHigher ? -p.y : p.y;
  if (x_better == Better::kHigher) return {-p.x, -p.x_high, -p.x_low, y};
  return {p.x, p.x_low, p.x_high, y};
}

bool Beats(const Costs& a, const Costs& b) {
  const bool cheaper = a.high<b.low, dearer = a.low> b.high;
  return a.y < b.y ? !dearer : a.y == b.y && cheaper;
}

}  // namespace

std::vector<size_t> ParetoFront(const std::vector<ParetoPoint>& points,
                                Better x_better, Better y_better) {
  std::vector<Costs> costs;
  std::vector<size_t> known, front;
  for (size_t i = 0; i < points.size(); ++i) {
    costs.push_back(CostsOf(points[i], x_better, y_better));
    if (!std::isnan(points[i].x) && !std::isnan(points[i].y)) {
      known.push_back(i);
    }
  }
  for (const size_t i : known) {
    if (std::none_of(known.begin(), known.end(), [&](size_t other) {
          return Beats(costs[other], costs[i]);
        })) {
      front.push_back(i);
    }
  }
  std::stable_sort(front.begin(), front.end(), [&](size_t a, size_t b) {
    const Costs &p = costs[a], &q = costs[b];
    return p.x != q.x ? p.x < q.x : p.y < q.y;
  });
  return front;
}

}  // namespace rattn
