#include "harness/score_table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "harness/text_format.h"

namespace rattn {
namespace {

std::string NumberText(const std::optional<double>& value) {
  return value ? FormatNumber(*value) : "-";
}

}  // namespace

void PrintMetrics(const std::vector<Metric>& metrics) {
  TextTable table({"metric", "value", "error", "chance", "n", "unit"}, {0, 5});
  for (const Metric& m : metrics) {
    table.Add({m.key, NumberText(m.value), NumberText(m.standard_error),
               NumberText(m.chance), m.n ? WithCommas(*m.n) : "-",
               m.reason.empty() ? m.unit : m.unit + " (" + m.reason + ")"});
  }
  fmt::print("{}", table.Plain());
}

LiveLine::LiveLine()
    : terminal_(isatty(STDERR_FILENO) != 0),
      last_(std::chrono::steady_clock::now()) {}

LiveLine::~LiveLine() { Clear(); }

void LiveLine::Show(const std::string& text) {
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{}", text.substr(0, 78));
    std::fflush(stderr);
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::seconds(10)) return;
  last_ = now;
  fmt::print(stderr, "{}\n", text);
}

void LiveLine::Clear() {
  if (!terminal_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace rattn
