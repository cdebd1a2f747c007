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

Progress::Progress(Groups groups)
    : terminal_(isatty(STDERR_FILENO) != 0),
      groups_(std::move(groups)),
      start_(std::chrono::steady_clock::now()) {
  for (const auto& [name, group] : groups_) total_ += group.left;
}

Progress::~Progress() {
  if (terminal_) fmt::print(stderr, "{}", kClearLine);
}

double Progress::SecondsOfOne(const Group& group) const {
  int64_t finished = group.finished;
  double seconds = group.seconds;
  for (const auto& [name, other] : groups_) {
    if (group.finished > 0 || other.kind != group.kind) continue;
    finished += other.finished;
    seconds += other.seconds;
  }
  return finished > 0 ? seconds / static_cast<double>(finished) : -1;
}

double Progress::SecondsLeft() const {
  double seconds = 0;
  for (const auto& [name, group] : groups_) {
    if (group.left == 0) continue;
    const double each = SecondsOfOne(group);
    if (each < 0) return -1;
    seconds += each * static_cast<double>(group.left) /
               static_cast<double>(group.at_a_time);
  }
  return seconds;
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

void Progress::Finished(const std::string& group, const Cell& cell,
                        const CellResult& result, double seconds) {
  ++finished_;
  Group& times = groups_[group];
  --times.left;
  ++times.finished;
  times.seconds += seconds;
  const bool done = result.status == CellStatus::kDone;
  if (terminal_ && done) return;
  fmt::print(stderr, "{}{} {} {} ({}){}{}\n", terminal_ ? kClearLine : "",
             Head(), Name(result.status), Describe(cell),
             FormatSeconds(seconds), done ? "" : ": ", result.reason);
}

void Progress::Show(const std::string& running) {
  const std::string line = Head() + "  " + running;
  if (!terminal_) {
    const auto now = std::chrono::steady_clock::now();
    if (shown_ && now - *shown_ < std::chrono::minutes(1)) return;
    shown_ = now;
    fmt::print(stderr, "{}\n", line);
    return;
  }
  fmt::print(stderr, "{}{}", kClearLine, line.substr(0, TerminalWidth() - 1));
  std::fflush(stderr);
}

}  // namespace rattn
