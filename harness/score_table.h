// Metrics of a train or eval result on the terminal.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "harness/cell.h"

namespace rattn {

// Every score with its error, chance level and number of questions; "-" where a
// metric has none.
void PrintMetrics(const std::vector<Metric>& metrics);

// One changing line on a terminal; elsewhere a line of its own every ten
// seconds. On standard error.
class LiveLine {
 public:
  LiveLine();
  ~LiveLine();
  void Show(const std::string& text);
  void Clear();

 private:
  bool terminal_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace rattn
