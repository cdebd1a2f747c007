// Numbers and tables as the terminal and Markdown pages show them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rattn {

// 131041 -> "131,041".
std::string WithCommas(int64_t value);
// The same of a whole number that a file gives as it likes.
std::string CountText(double count);
// 536870912 -> "512 MiB", 1536 -> "1.5 KiB", 999 -> "999 B": binary units, up
// to four significant digits.
std::string FormatBytes(double bytes);
// 1234567 -> "1.23 M", with decimal prefixes, three significant digits; `unit`
// follows ("1.23 Mtokens/s").
std::string FormatSi(double value, const std::string& unit);
// "831 ns", "1.25 ms", "3.4 s", "12 min", "2.5 h".
std::string FormatSeconds(double seconds);
// Up to `digits` significant digits, no exponent between 1e-4 and 1e6.
std::string FormatNumber(double value, int digits = 4);

// & < > " as entities.
std::string EscapeHtml(const std::string& text);

// Rows of cells under a header. Columns listed in `left` are left-aligned,
// others right-aligned.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header,
                     std::vector<size_t> left = {0});
  void Add(std::vector<std::string> row);
  bool empty() const { return rows_.empty(); }

  // Aligned with spaces, a line per row, no trailing blanks.
  std::string Plain() const;
  // A pipe table; | in cells is escaped.
  std::string Markdown() const;
  // A <table>; cells are escaped.
  std::string Html() const;

 private:
  bool IsLeft(size_t column) const;
  std::vector<size_t> Widths() const;

  std::vector<std::string> header_;
  std::vector<size_t> left_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace rattn
