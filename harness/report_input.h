// What the parts of a report choose from: the points of a run, and how they
// are named and split.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/aggregate.h"
#include "harness/plot_spec.h"

namespace rattn {

using Points = std::vector<const Point*>;

struct ReportInput {
  explicit ReportInput(RunData data);

  RunData run;
  std::string machine;
  std::vector<Point> points;
  std::vector<std::string> notes;   // on how points were chosen
  std::vector<std::string> series;  // legend entries of the run, in order

  Points Where(const std::function<bool(const Point&)>& holds) const;
  // Headline scores of a task at its shortest length, or at every length.
  Points Scores(const std::string& task, bool all_lengths = false) const;
  std::vector<std::string> Tasks() const;  // in order of the cells
  // The point of another metric with the same kind and axes; null if none.
  const Point* Sibling(const Point& point, const std::string& metric) const;

  // Legend entry: the variant, with its number of sinks where that varies.
  std::string Series(const Point& point) const;

 private:
  void Sort();

  bool sinks_vary_ = false;
};

// Throughput of a mixer; all of these have a number for their context.
bool IsMixerRate(const Point& point);
std::optional<double> Window(const Point& point);
std::string WindowText(const Point& point);  // "W = 8"; "" without a window
std::string Named(const ReportInput& input, const Point& point);  // "swa W=8"

// Names the values of those axes that differ among the points (and of
// `always`): "pattern LL, steps 500". Splits points into comparable groups.
class Facets {
 public:
  Facets(const Points& points, std::vector<std::string> always);
  std::string Label(const Point& point) const;

 private:
  std::vector<std::string> axes_;
};

// Bytes of keys, values and states of a point's cell: measured where the cell
// has it; absent if it has neither.
struct CacheFigure {
  double bytes = 0;
  bool measured = false;
};
std::optional<CacheFigure> CacheOf(const ReportInput& input,
                                   const Point& point);

std::vector<double> DistinctNumbers(const Points& points,
                                    const std::string& axis);

}  // namespace rattn
