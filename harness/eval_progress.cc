#include "harness/eval_progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/text_format.h"

namespace rattn {

std::string EvalProgress::AllLeft(size_t count, double left_here) const {
  const double done = tasks_before_ + done_here_;
  if (count < 2 || done <= 0) return "";
  const std::chrono::duration<double> used =
      std::chrono::steady_clock::now() - all_start_;
  const double left = static_cast<double>(count - place_) + left_here;
  return fmt::format(", {} left", FormatSeconds(used.count() * left / done));
}

void EvalProgress::Show(const std::string& task, size_t place, size_t count,
                        int64_t done, int64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (place != place_) {
    if (place_ == 0) all_start_ = now;
    place_ = place;
    first_ = done;
    start_ = now;
    tasks_before_ += done_here_;
  }
  const double all = static_cast<double>(std::max<int64_t>(total, 1));
  done_here_ = static_cast<double>(done - first_) / all;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string rate;
  if (done > first_ && seconds > 0) {
    const double per_second = static_cast<double>(done - first_) / seconds;
    rate = fmt::format(
        ", {}/s, {} left", FormatNumber(per_second, 3),
        FormatSeconds(static_cast<double>(total - done) / per_second));
  }
  line_.Show(
      fmt::format("[{}/{}{}] {} {}/{}{}", place, count,
                  AllLeft(count, static_cast<double>(total - done) / all), task,
                  done, total, rate));
}

}  // namespace rattn
