// The table of `rattn bench`: rows as they come, under one header, so that what
// has been measured is on the screen whatever ends the bench.
#pragma once

#include <string>
#include <vector>

#include "harness/cell.h"

namespace rattn {

class BenchRows {
 public:
  // Prints the header; widths and columns follow from the cells to come.
  // With `baseline` rows end with a column for RowAgainstBaseline's text.
  BenchRows(const std::vector<std::vector<Cell>>& groups, bool baseline);

  void Print(const Cell& cell, const CellResult& result,
             const std::string& against_baseline) const;

 private:
  void Print(const std::vector<std::string>& row) const;

  std::vector<std::string> columns_;
  std::vector<size_t> widths_;
};

}  // namespace rattn
