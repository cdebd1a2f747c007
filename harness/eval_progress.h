// Progress of an evaluation on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "harness/score_table.h"

namespace rattn {

class EvalProgress {
 public:
  // Task, its place from 1 and their number, requests done and in all. Rate
  // and time left count what was done since the task's first call; the time
  // left to all takes the tasks to come for as long as those behind.
  void Show(const std::string& task, size_t place, size_t count, int64_t done,
            int64_t total);
  void Clear() { line_.Clear(); }

 private:
  // Of all tasks; empty for one task and as long as nothing is done.
  std::string AllLeft(size_t count, double left_here) const;

  LiveLine line_;
  size_t place_ = 0;
  int64_t first_ = 0;
  std::chrono::steady_clock::time_point all_start_, start_;
  double tasks_before_ = 0, done_here_ = 0;  // worked on, in tasks
};

}  // namespace rattn
