#include "tasks/files/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"

namespace rattn {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& origin)
      : text_(text), origin_(origin) {}

  std::vector<CsvRow> Parse() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row{line_, ParseRow()};
      const bool empty = row.cells.size() == 1 && row.cells[0].empty();
      if (!empty) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  std::vector<std::string> ParseRow() {
    std::vector<std::string> cells;
    do {
      cells.push_back(ParseCell());
    } while (Take(','));
    if (at_ < text_.size()) {
      Take('\r');
      if (!Take('\n')) Fail(line_, "text after the quote that ends a cell");
      ++line_;
    }
    return cells;
  }

  std::string ParseCell() {
    if (Take('"')) return ParseQuoted();
    const size_t start = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' &&
           text_.substr(at_, 2) != "\r\n") {
      ++at_;
    }
    return std::string(text_.substr(start, at_ - start));
  }

  std::string ParseQuoted() {
    const int64_t first_line = line_;
    std::string cell;
    while (true) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) {
        Fail(first_line, "a quoted cell that never ends");
      }
      const std::string_view piece = text_.substr(at_, quote - at_);
      line_ += std::count(piece.begin(), piece.end(), '\n');
      cell += piece;
      at_ = quote + 1;
      if (!Take('"')) return cell;
      cell += '"';
    }
  }

  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  [[noreturn]] void Fail(int64_t line, const char* what) const {
    throw UserError(fmt::format("{}:{}: {}", origin_, line, what));
  }

  std::string_view text_;
  const std::string& origin_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> ParseCsv(std::string_view text, const std::string& origin) {
  return CsvParser(text, origin).Parse();
}

}  // namespace rattn
