// Runs of several machines (or builds) side by side.
#pragma once

#include <string>
#include <vector>

#include "harness/compare_rows.h"
#include "harness/crossover.h"
#include "harness/document.h"

namespace rattn {

struct Comparison {
  std::vector<ComparedRun> runs;
  std::vector<ComparedRow> rows;
};

// `peaks`: names in configs/hardware or files, one per folder, or empty: then
// peaks are those that run.json names, if any. Throws UserError.
Comparison Compare(const std::vector<std::string>& folders,
                   const std::vector<std::string>& peaks);

Json ToJson(const Comparison& comparison);
Document ToDocument(const Comparison& comparison);

}  // namespace rattn
