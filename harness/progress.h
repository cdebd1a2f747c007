// Progress of a sweep on standard error: one line that changes on a terminal,
// one line per finished cell otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "harness/cell.h"

namespace rattn {

class Progress {
 public:
  // Cells that take about as long; `at_a_time` of them run together.
  struct Group {
    std::string kind;  // a group without a finished cell takes this one's mean
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
  // What is running now; without a terminal a line every minute.
  void Show(const std::string& running);

 private:
  std::string Head() const;
  // From the mean times of each group; negative: unknown.
  double SecondsLeft() const;
  double SecondsOfOne(const Group& group) const;

  bool terminal_;
  int64_t total_ = 0, finished_ = 0;
  Groups groups_;
  std::chrono::steady_clock::time_point start_;
  std::optional<std::chrono::steady_clock::time_point> shown_;
};

}  // namespace rattn
