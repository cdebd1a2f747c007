#include "harness/report_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <string>
#include <vector>

#include "harness/text_format.h"

namespace rattn {

std::string FileName(const std::string& name) {
  std::string file;
  for (const char c : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain || c == '_') {
      file += c;
    } else if (!file.empty() && file.back() != '-') {
      file += '-';
    }
  }
  while (!file.empty() && file.back() == '-') file.pop_back();
  return file.empty() ? "unnamed" : file.substr(0, 80);
}

std::string LengthText(const Point& point) {
  const auto length = point.Number("length");
  if (!length) return "";
  return fmt::format("sequences of {} tokens", CountText(*length));
}

std::string DecodeContextText(const Point& point) {
  const auto context = point.Number("decode_context");
  const auto tokens = context ? context : point.Number("length");
  if (!tokens) return "";
  return fmt::format("{} tokens in the caches", CountText(*tokens));
}

PlotAxis ScoreAxis(const Point& point) {
  std::vector<std::string> notes;
  if (point.unit != point.metric) notes.push_back(point.unit);
  if (point.better == Better::kLower) notes.push_back("lower is better");
  std::string title = point.metric;
  if (!notes.empty()) title += fmt::format(" ({})", fmt::join(notes, ", "));
  if (point.unit == "fraction") return {title, AxisKind::kFraction};
  if (point.unit == "percent") return {title, AxisKind::kPercent};
  return {title, AxisKind::kLinear};
}

std::string ValueText(const Point& point) {
  if (point.low == point.high) return FormatNumber(point.value, 3);
  return fmt::format("{} [{}, {}]", FormatNumber(point.value, 3),
                     FormatNumber(point.low, 3), FormatNumber(point.high, 3));
}

PlotRow RowOf(const ReportInput& input, const Point& point) {
  PlotRow row;
  row.series = input.Series(point);
  row.window = Window(point);
  row.y = point.value;
  row.low = point.low;
  row.high = point.high;
  row.seeds = point.seeds;
  for (const std::string& cell : point.cells) {
    if (!row.cells.empty()) row.cells += ' ';
    row.cells += cell;
  }
  return row;
}

}  // namespace rattn
