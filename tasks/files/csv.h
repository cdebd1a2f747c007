// Comma-separated values as RFC 4180 has them: quoted cells may hold commas,
// line breaks and doubled quotes. Cells are raw text: "NA" stays "NA".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

struct CsvRow {
  int64_t line = 0;  // of its first character, from 1
  std::vector<std::string> cells;
};

// Lines may end in LF or CRLF; empty lines are left out. Throws UserError that
// begins with origin:line for a quote that never ends or text after one.
std::vector<CsvRow> ParseCsv(std::string_view text, const std::string& origin);

}  // namespace rattn
