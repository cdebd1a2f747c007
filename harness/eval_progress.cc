#include "harness/eval_progress.h"

#include <fmt/format.h>

#include "harness/text_format.h"

namespace rattn {

void EvalProgress::Show(const std::string& task, size_t place, size_t count,
                        int64_t done, int64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (place != place_) {
    place_ = place;
    first_ = done;
    start_ = now;
  }
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string rate;
  if (done > first_ && seconds > 0) {
    const double per_second = static_cast<double>(done - first_) / seconds;
    rate = fmt::format(
        ", {}/s, {} left", FormatNumber(per_second, 3),
        FormatSeconds(static_cast<double>(total - done) / per_second));
  }
  line_.Show(
      fmt::format("[{}/{}] {} {}/{}{}", place, count, task, done, total, rate));
}

}  // namespace rattn
