#include "harness/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "harness/text_format.h"

namespace rattn {
namespace {

constexpr const char* kClearLine = "\r\033[K";

size_t TerminalWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) {
    return size.ws_col;
  }
  return 80;
}

}  // namespace

Progress::Progress(std::map<std::string, int64_t> cells, int64_t jobs)
    : terminal_(isatty(STDERR_FILENO) != 0),
      jobs_(jobs),
      left_(std::move(cells)),
      start_(std::chrono::steady_clock::now()) {
  for (const auto& [kind, n] : left_) total_ += n;
}

Progress::~Progress() {
  if (terminal_) fmt::print(stderr, "{}", kClearLine);
}

double Progress::SecondsLeft() const {
  double seconds = 0;
  for (const auto& [kind, n] : left_) {
    if (n == 0) continue;
    const auto it = times_.find(kind);
    if (it == times_.end()) return -1;
    seconds += static_cast<double>(n) * it->second.seconds /
               static_cast<double>(it->second.n);
  }
  return seconds / static_cast<double>(jobs_);
}

std::string Progress::Head() const {
  const std::chrono::duration<double> used =
      std::chrono::steady_clock::now() - start_;
  std::string head = fmt::format("[{}/{}]", finished_, total_);
  if (finished_ > 0) {
    head += fmt::format(" {:.3g} cells/min",
                        60.0 * static_cast<double>(finished_) / used.count());
  }
  if (const double left = SecondsLeft(); left > 0) {
    head += fmt::format(", {} left", FormatSeconds(left));
  }
  return head;
}

void Progress::Finished(const Cell& cell, const CellResult& result,
                        double seconds) {
  ++finished_;
  --left_[cell.kind];
  Times& times = times_[cell.kind];
  ++times.n;
  times.seconds += seconds;
  const bool done = result.status == CellStatus::kDone;
  if (terminal_ && done) return;
  fmt::print(stderr, "{}{} {} {} ({}){}{}\n", terminal_ ? kClearLine : "",
             Head(), Name(result.status), Describe(cell),
             FormatSeconds(seconds), done ? "" : ": ", result.reason);
}

void Progress::Show(const std::string& running) {
  if (!terminal_) return;
  const std::string line = Head() + "  " + running;
  fmt::print(stderr, "{}{}", kClearLine, line.substr(0, TerminalWidth() - 1));
  std::fflush(stderr);
}

}  // namespace rattn
