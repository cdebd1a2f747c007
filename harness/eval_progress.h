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
  // and time left count what was done since the task's first call.
  void Show(const std::string& task, size_t place, size_t count, int64_t done,
            int64_t total);
  void Clear() { line_.Clear(); }

 private:
  LiveLine line_;
  size_t place_ = 0;
  int64_t first_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace rattn
