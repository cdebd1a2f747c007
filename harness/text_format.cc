#include "harness/text_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rattn {
namespace {

// Display columns: bytes but for UTF-8 continuation bytes.
size_t Columns(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (c & 0xC0) != 0x80; });
}

std::string WithoutTrailingZeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string Scaled(double value, double step,
                   const std::vector<std::string>& prefixes, int digits,
                   size_t first, std::string* prefix) {
  size_t at = first;
  while (std::abs(value) >= step && at + 1 < prefixes.size()) {
    value /= step;
    ++at;
  }
  while (value != 0 && std::abs(value) < 1 && at > 0) {
    value *= step;
    --at;
  }
  *prefix = prefixes[at];
  return FormatNumber(value, digits);
}

}  // namespace

std::string WithCommas(int64_t value) {
  std::string text = std::to_string(value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = text.size(); at > first + 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

std::string CountText(double count) {
  return std::abs(count) < 0x1p62 ? WithCommas(static_cast<int64_t>(count))
                                  : FormatNumber(count);
}

std::string FormatNumber(double value, int digits) {
  if (!std::isfinite(value)) return "n/a";
  if (value == 0) return "0";
  const int magnitude =
      static_cast<int>(std::floor(std::log10(std::abs(value))));
  if (magnitude < -4 || magnitude >= 6) {
    return fmt::format("{:.{}g}", value, digits);
  }
  return WithoutTrailingZeros(
      fmt::format("{:.{}f}", value, std::max(digits - 1 - magnitude, 0)));
}

std::string FormatSeconds(double seconds) {
  if (seconds >= 7200) return FormatNumber(seconds / 3600, 2) + " h";
  if (seconds >= 120) return FormatNumber(seconds / 60, 2) + " min";
  return FormatSi(seconds, "s");
}

std::string FormatBytes(double bytes) {
  static const std::vector<std::string> kPrefixes = {"B",   "KiB", "MiB",
                                                     "GiB", "TiB", "PiB"};
  std::string prefix;
  const std::string number = Scaled(bytes, 1024, kPrefixes, 4, 0, &prefix);
  return number + " " + prefix;
}

std::string FormatSi(double value, const std::string& unit) {
  static const std::vector<std::string> kPrefixes = {"n", "u", "m", "", "k",
                                                     "M", "G", "T", "P"};
  std::string prefix;
  const std::string number = Scaled(value, 1000, kPrefixes, 3, 3, &prefix);
  return number + " " + prefix + unit;
}

std::string EscapeHtml(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

TextTable::TextTable(std::vector<std::string> header, std::vector<size_t> left)
    : header_(std::move(header)), left_(std::move(left)) {}

void TextTable::Add(std::vector<std::string> row) {
  row.resize(header_.size());
  rows_.push_back(std::move(row));
}

bool TextTable::IsLeft(size_t column) const {
  return std::find(left_.begin(), left_.end(), column) != left_.end();
}

std::vector<size_t> TextTable::Widths() const {
  std::vector<size_t> widths;
  for (const std::string& cell : header_) widths.push_back(Columns(cell));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], Columns(row[i]));
    }
  }
  return widths;
}

std::string TextTable::Plain() const {
  const std::vector<size_t> widths = Widths();
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - Columns(row[i]), ' ');
      if (i > 0) line += "  ";
      if (!IsLeft(i)) line += pad;
      line += row[i];
      if (IsLeft(i)) line += pad;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(header_);
  for (const auto& row : rows_) add(row);
  return text;
}

std::string TextTable::Markdown() const {
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    text += "|";
    for (const std::string& cell : row) {
      text += " ";
      for (char c : cell) {
        if (c == '|') text += '\\';
        text += c;
      }
      text += " |";
    }
    text += "\n";
  };
  add(header_);
  text += "|";
  for (size_t i = 0; i < header_.size(); ++i) {
    text += IsLeft(i) ? " :-- |" : " --: |";
  }
  text += "\n";
  for (const auto& row : rows_) add(row);
  return text;
}

std::string TextTable::Html() const {
  std::string text = "<div class=\"table\"><table>\n";
  const auto add = [&](const std::vector<std::string>& row, const char* tag) {
    text += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      text += fmt::format("<{}{}>{}</{}>", tag, IsLeft(i) ? " class=\"l\"" : "",
                          EscapeHtml(row[i]), tag);
    }
    text += "</tr>\n";
  };
  add(header_, "th");
  for (const auto& row : rows_) add(row, "td");
  return text + "</table></div>\n";
}

}  // namespace rattn
