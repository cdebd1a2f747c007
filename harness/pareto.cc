#include "harness/pareto.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rattn {

std::vector<size_t> ParetoFront(const std::vector<ParetoPoint>& points,
                                Better x_better, Better y_better) {
  // Costs: lower is better in both.
  const auto cost = [](double value, Better better) {
    return better == Better::kHigher ? -value : value;
  };
  const auto x = [&](size_t i) { return cost(points[i].x, x_better); };
  const auto y = [&](size_t i) { return cost(points[i].y, y_better); };
  std::vector<size_t> order;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!std::isnan(points[i].x) && !std::isnan(points[i].y)) {
      order.push_back(i);
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return x(a) != x(b) ? x(a) < x(b) : y(a) < y(b);
  });
  std::vector<size_t> front;
  for (const size_t i : order) {
    const bool better = front.empty() || y(i) < y(front.back());
    const bool equal =
        !front.empty() && y(i) == y(front.back()) && x(i) == x(front.back());
    if (better || equal) front.push_back(i);
  }
  return front;
}

}  // namespace rattn
