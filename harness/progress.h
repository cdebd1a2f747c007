// Progress of a sweep on standard error: one line that changes on a terminal,
// one line per finished cell otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "harness/cell.h"

namespace rattn {

class Progress {
 public:
  // Cells of one kind take about as long; `at_a_time` of them run together.
  struct Group {
    int64_t left = 0;
    int64_t at_a_time = 1;
    int64_t finished = 0;
    double seconds = 0;  // of the finished ones together
  };
  using Groups = std::map<std::string, Group>;
  explicit Progress(Groups groups);
  ~Progress();

  void Finished(const std::string& group, const Cell& cell,
                const CellResult& result, double seconds);
  // What is running now; ignored without a terminal.
  void Show(const std::string& running);

 private:
  std::string Head() const;
  // From the mean times of each group; negative: unknown.
  double SecondsLeft() const;

  bool terminal_;
  int64_t total_ = 0, finished_ = 0;
  Groups groups_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace rattn
