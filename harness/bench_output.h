// What becomes of the results of `rattn bench`: printed as they come, kept,
// held against a baseline, shown as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/bench_baseline.h"
#include "harness/bench_rows.h"
#include "harness/run_data.h"
#include "harness/run_folder.h"

namespace rattn {

struct BenchOutputOptions {
  std::string out;       // folder for the cells; empty: none
  std::string baseline;  // folder of an earlier run; empty: none
  bool fail_slower = false;
  bool json = false;
};

class BenchOutput {
 public:
  // `groups`: all cells to come. Throws UserErrors about the folders.
  BenchOutput(const BenchOutputOptions& options,
              const std::vector<std::vector<Cell>>& groups);

  void Add(const Cell& cell, const CellResult& result);
  void Finish(bool interrupted);
  // A cell failed, or is slower than the baseline where that counts.
  bool failed() const {
    return failed_ || (options_.fail_slower && slower_ > 0);
  }

 private:
  std::string HoldAgainstBaseline(const Cell& cell, const CellResult& result);
  void PrintPeaks() const;
  void PrintBaseline() const;
  void PrintCrossovers();

  const BenchOutputOptions options_;
  bool failed_ = false;
  int64_t ran_ = 0;
  int64_t slower_ = 0, compared_ = 0;
  std::optional<BenchBaseline> baseline_;
  std::optional<RunFolder> folder_;
  std::optional<BenchRows> rows_;
  Json facts_, before_;
  Json cells_ = Json::array();
  RunData run_;
};

}  // namespace rattn
