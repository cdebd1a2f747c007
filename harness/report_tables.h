// Tables of a report.
#pragma once

#include <vector>

#include "harness/document.h"
#include "harness/report_input.h"

namespace rattn {

// Scores and their parts at the shortest length, a few columns per table.
std::vector<TextTable> ScoreTables(const ReportInput& input,
                                   const std::string& task);
// Headline scores of a task by length.
TextTable LengthTable(const ReportInput& input, const std::string& task);
// Kernel throughput at the longest context, with the share of full attention.
TextTable KernelTable(const ReportInput& input, const std::string& phase);
// Failed and skipped cells by reason; failed first.
TextTable NotDoneTable(const RunData& run);
// Facts of run.json, one per line.
TextTable FactsTable(const Json& facts);

}  // namespace rattn
