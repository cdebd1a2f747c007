// Kernel cells of an earlier run, to hold new ones against.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "harness/cell.h"

namespace rattn {

struct AgainstBaseline {
  double times = 1;  // time / the baseline's
  // Beyond both runs' noise: the quartile ranges of the times do not touch.
  bool slower = false;
  bool faster = false;
};

// "1.01x", "SLOWER 1.23x", "faster 1.10x": times as long, times as fast.
std::string Describe(const AgainstBaseline& against);

class BenchBaseline {
 public:
  // Throws UserError if `folder` is no run or has no finished kernel cells.
  explicit BenchBaseline(const std::string& folder);

  // Of the cell that measured the same work; how long it was measured does not
  // matter. Absent where there is none or the result is not done.
  std::optional<AgainstBaseline> Compare(const Cell& cell,
                                         const CellResult& result) const;
  // The processor's name; empty if the run does not tell.
  const std::string& machine() const { return machine_; }

 private:
  struct Quartiles {
    double q1, median, q3;
  };
  std::map<std::string, Quartiles> times_;
  std::string machine_;
};

}  // namespace rattn
