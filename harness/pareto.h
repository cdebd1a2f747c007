// Pareto fronts: the points that no other point beats on both figures.
#pragma once

#include <cstddef>
#include <vector>

#include "harness/cell.h"

namespace rattn {

struct ParetoPoint {
  double x = 0;
  double y = 0;
};

// Indices of the front, from the best x to the best y. Of points that are
// equal in both figures all are on the front. Not-a-number counts as beaten.
std::vector<size_t> ParetoFront(const std::vector<ParetoPoint>& points,
                                Better x_better, Better y_better);

}  // namespace rattn
