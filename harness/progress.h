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
  // `cells`: how many are to be run, by kind; `jobs` of them at a time.
  Progress(std::map<std::string, int64_t> cells, int64_t jobs);
  ~Progress();

  void Finished(const Cell& cell, const CellResult& result, double seconds);
  // What is running now; ignored without a terminal.
  void Show(const std::string& running);

 private:
  std::string Head() const;
  // Seconds to the end from the mean times of each kind; negative: unknown.
  double SecondsLeft() const;

  bool terminal_;
  int64_t jobs_;
  int64_t total_ = 0, finished_ = 0;
  std::map<std::string, int64_t> left_;
  struct Times {
    int64_t n = 0;
    double seconds = 0;
  };
  std::map<std::string, Times> times_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace rattn
