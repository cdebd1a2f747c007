// The report of a run: report.json, report.md, report.html and plots/.
#pragma once

#include <string>
#include <vector>

#include "harness/document.h"
#include "harness/run_data.h"

namespace rattn {

struct Report {
  Json json;          // every aggregate, front, crossover and finding
  Document document;  // the page
};

// Depends on the cells and run.json alone: the same run gives the same report.
Report MakeReport(RunData run);

struct WrittenReport {
  std::string html;                  // path
  std::vector<std::string> notices;  // lines for the user: what is missing
};

// Reads the run in `folder` and writes its report there. Throws UserError if
// it is no run, RunError if it cannot be written.
WrittenReport WriteReport(const std::string& folder);

// Writes a document with its figures: BASE.md, BASE.html, BASE.json and
// plots/*.vl.json and *.svg in `folder`; plots of an earlier report are
// removed. Returns a notice if pictures are missing, or "".
std::string WriteDocument(const std::string& folder, const std::string& base,
                          const Document& document, const Json& json);

}  // namespace rattn
