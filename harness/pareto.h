// Pareto fronts: the points that no other point beats on both figures.
#pragma once

#include <cstddef>
#include <vector>

#include "harness/cell.h"

namespace rattn {

struct ParetoPoint {
  double x = 0;
  double y = 0;
  double x_low = x, x_high = x;  // error bar of x
};

// Indices of the front, from the best x to the best y. A point is beaten by one
// with a better y and an x that is not worse, or an equal y and a better x; x
// whose bars touch are equal, so that noise decides nothing. Not-a-number
// counts as beaten.
std::vector<size_t> ParetoFront(const std::vector<ParetoPoint>& points,
                                Better x_better, Better y_better);

}  // namespace rattn
