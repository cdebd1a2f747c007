// From which context length on one variant is faster than another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/report_input.h"

namespace rattn {

struct Crossover {
  const Point* variant = nullptr;  // a point of the series that is compared
  std::string phase;
  std::string group;  // backend, dtype, ... where they differ
  // First context at which the variant is faster, interpolated between
  // measured ones (both axes logarithmic). Absent: never within the range.
  std::optional<double> context;
  bool always = false;               // faster at the shortest context already
  double shortest = 0, longest = 0;  // contexts that both have
};

// Every windowed or recurrent series against full attention (by the catalog:
// a causal local branch and no memory), per phase and group of axes.
std::vector<Crossover> FindCrossovers(const ReportInput& input);

Json ToJson(const ReportInput& input, const Crossover& crossover);
std::string Describe(const ReportInput& input, const Crossover& crossover);

// By the catalog; false for names it does not have.
bool IsFullAttention(const Point& point);

}  // namespace rattn
