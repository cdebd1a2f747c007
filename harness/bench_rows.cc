#include "harness/bench_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "harness/fields.h"
#include "harness/text_format.h"

namespace rattn {
namespace {

const std::vector<std::string> kColumns = {
    "variant", "W",          "phase",       "context",     "BxH/KVxD",
    "dtype",   "backend",    "C/m",         "time",        "q3-q1",
    "samples", "throughput", "useful",      "executed",    "of peak",
    "bytes",   "of peak",    "peak memory", "kept states", "error"};
const std::set<size_t> kLeft = {0, 2, 4, 5, 6, 7, 10};
constexpr size_t kKnown = 8;    // columns known before a cell has run
constexpr size_t kFigure = 13;  // "1.23 Mtok/s" and some air

std::string ShareText(const CellResult& result, const std::string& key) {
  const double share = MetricValue(result, key);
  return share > 0 ? fmt::format("{:.0f} %", 100 * share) : "-";
}

// "128/4": tokens of a chunk, chunks between kept states. "x8": tokens that a
// state takes in at a time.
std::string TilingText(const Json& params) {
  if (params.at("absorb_every") != 0) {
    return fmt::format("x{}", params.at("absorb_every").get<int64_t>());
  }
  const auto text = [&](const char* key) {
    const int64_t value = params.at(key);
    return value == 0 ? std::string("auto") : fmt::format("{}", value);
  };
  const std::string chunk = text("chunk"), every = text("state_every");
  return chunk == "auto" && every == "auto" ? chunk : chunk + "/" + every;
}

std::string KeptStatesText(const CellResult& result) {
  const double bytes = result.detail.value("kept_state_bytes", 0.0);
  return bytes > 0 ? FormatBytes(bytes) : "-";
}

// What makes a time on a device doubtful; empty if nothing does.
std::string ClockDoubts(const CellResult& result) {
  const Json clocks = result.detail.value("clocks", Json::object());
  const Json doubts = clocks.value("doubts", Json());
  return doubts.is_string() ? doubts.get<std::string>() : "";
}

std::vector<std::string> KnownColumns(const Cell& cell) {
  const Json& axes = cell.axes;
  std::vector<std::string> row = {
      axes["variant"],
      ValueText(axes["window_keys"]),
      axes["phase"],
      ValueText(axes["context"]),
      fmt::format("{}x{}/{}x{}", ValueText(axes["batch"]),
                  ValueText(axes["query_heads"]), ValueText(axes["kv_heads"]),
                  ValueText(axes["head_dim"])),
      axes["dtype"],
      axes["backend"],
      TilingText(cell.params)};
  if (row[1] == "null") row[1] = "-";
  return row;
}

std::vector<std::string> Figures(const CellResult& result) {
  const double spread =
      (result.stats["q3"].get<double>() - result.stats["q1"].get<double>()) /
      result.stats["median"].get<double>();
  return {FormatSi(MetricValue(result, "time"), "s"),
          fmt::format("{:.1f} %", 100 * spread),
          ValueText(result.stats["n"]) + " " +
              ValueText(result.stats["stopped_by"]),
          FormatSi(MetricValue(result, "throughput"), "tok/s"),
          FormatSi(MetricValue(result, "useful_flops"), "FLOP/s"),
          FormatSi(MetricValue(result, "executed_flops"), "FLOP/s"),
          ShareText(result, "flops_share"),
          FormatSi(MetricValue(result, "bandwidth"), "B/s"),
          ShareText(result, "bandwidth_share"),
          FormatBytes(result.detail["peak_memory_bytes"].get<double>()),
          KeptStatesText(result),
          fmt::format("{:.1e}", result.check["worst_error"].get<double>())};
}

}  // namespace

BenchRows::BenchRows(const std::vector<std::vector<Cell>>& groups,
                     bool baseline)
    : columns_(kColumns) {
  if (baseline) columns_.push_back("baseline");
  for (const std::string& name : columns_) {
    widths_.push_back(std::max<size_t>(name.size(), kFigure));
  }
  for (size_t i = 0; i < kKnown; ++i) widths_[i] = columns_[i].size();
  for (const auto& group : groups) {
    for (const Cell& cell : group) {
      const auto row = KnownColumns(cell);
      for (size_t i = 0; i < kKnown; ++i) {
        widths_[i] = std::max(widths_[i], row[i].size());
      }
    }
  }
  Print(columns_);
}

void BenchRows::Print(const Cell& cell, const CellResult& result,
                      const std::string& against_baseline) const {
  std::vector<std::string> row = KnownColumns(cell);
  const bool done = result.status == CellStatus::kDone;
  if (done) {
    for (const std::string& text : Figures(result)) row.push_back(text);
    if (columns_.size() > kColumns.size()) row.push_back(against_baseline);
  } else {
    row.emplace_back(Name(result.status));
  }
  Print(row);
  const std::string remark = done ? ClockDoubts(result) : result.reason;
  if (!remark.empty()) fmt::print("  {}\n", remark);
  std::fflush(stdout);
}

void BenchRows::Print(const std::vector<std::string>& row) const {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    line += kLeft.contains(i) ? fmt::format("{:<{}}  ", row[i], widths_[i])
                              : fmt::format("{:>{}}  ", row[i], widths_[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  fmt::print("{}\n", line);
}

}  // namespace rattn
