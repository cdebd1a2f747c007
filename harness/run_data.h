// A finished run as reports read it: the facts of run.json and the cells.
// Readers are lenient: unknown fields are ignored, and a file that cannot be
// read is named and skipped.
#pragma once

#include <string>
#include <vector>

#include "harness/cell.h"

namespace rattn {

struct ReportCell {
  std::string id;
  std::string kind;
  Json axes = Json::object();
  Json params = Json::object();
  CellResult result;
};

struct RunData {
  std::string name;                   // of the run's folder
  Json facts;                         // run.json; null if there is none
  std::vector<ReportCell> cells;      // by file name
  std::vector<std::string> problems;  // "cells/x.json: what is wrong with it"
};

// A cell file. Throws where it is not one.
ReportCell ReadCellFile(const std::string& path);

// Hash of which cells there are and how they ended: a report of others is old.
std::string CellsDigest(const RunData& run);

// Throws UserError if `folder` is no run: not a folder, or without cells.
RunData LoadRun(const std::string& folder);

// What plots call the machine: the processor's name from run.json.
std::string MachineName(const RunData& run);

}  // namespace rattn
