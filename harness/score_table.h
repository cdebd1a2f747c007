// Metrics of a train or eval result on the terminal.
#pragma once

#include <string>
#include <vector>

#include "harness/cell.h"

namespace rattn {

// Every score with its error, chance level and number of questions; "-" where a
// metric has none.
void PrintMetrics(const std::vector<Metric>& metrics);

// One changing line on a terminal, nothing elsewhere.
class LiveLine {
 public:
  LiveLine();
  ~LiveLine();
  void Show(const std::string& text);

 private:
  bool terminal_;
};

}  // namespace rattn
