// One point of a sweep and what came of it. The JSON of a cell file is
// described in DEVELOPMENT.md ("Cells").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

inline constexpr int kCellSchema = 1;

struct Cell {
  std::string id;  // 16 hex digits: hash of kind, axes and params
  std::string kind;
  Json axes = Json::object();
  Json params = Json::object();    // what else determines the result
  std::vector<std::string> needs;  // ids of cells that must be done before

  // Value of an axis or parameter; null if the kind has no such field.
  Json Get(const std::string& key) const;
};

// Fills in the id.
Cell MakeCell(const std::string& kind, Json axes, Json params);

Json ToJson(const Cell& cell);
Cell CellFromJson(const Json& json);

// "train rattention W=4 seed=0 ...": the axes in one line, for people.
std::string Describe(const Cell& cell);

enum class Better { kHigher, kLower, kNeither };

struct Metric {
  std::string key;
  std::optional<double> value;  // nothing needs a reason
  std::string unit;
  Better better = Better::kNeither;
  std::optional<double> standard_error = {};
  std::optional<double> chance = {};
  std::optional<int64_t> n = {};
  std::string reason = {};
};

enum class CellStatus { kDone, kSkipped, kFailed };

std::string_view Name(CellStatus status);
// Throws RunError for a word that is no status.
CellStatus ParseCellStatus(const std::string& name);

struct CellResult {
  CellStatus status = CellStatus::kDone;
  std::string reason;  // of kSkipped and kFailed
  Json check;          // null where nothing was checked
  std::vector<Metric> metrics;
  Json stats;  // null where nothing was timed
  Json detail = Json::object();
  std::vector<float> samples;      // seconds; go to a side file
  std::vector<std::string> lines;  // JSON lines; go to a side file

  static CellResult Skipped(std::string reason);
  static CellResult Failed(std::string reason);
};

// Without samples and lines.
// Of a metric; 0 where it is absent or unknown.
double MetricValue(const CellResult& result, std::string_view key);

Json ToJson(const CellResult& result);
CellResult CellResultFromJson(const Json& json);

// The content of a cell file.
Json CellFileJson(const Cell& cell, const CellResult& result);

}  // namespace rattn
