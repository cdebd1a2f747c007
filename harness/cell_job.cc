#include "harness/cell_job.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "harness/cell_kinds.h"
#include "harness/kernel_cells.h"
#include "harness/process_memory.h"
#include "models/config_files.h"
#include "models/error.h"

namespace rattn {
namespace {

// RATTN_TEST_CRASH=TEXT:SIGNAL ends the cells whose id or description holds
// TEXT by that signal; signal 0 hangs them. For tests of the harness itself.
void CrashIfAsked(const Cell& cell) {
  const char* wish = std::getenv("RATTN_TEST_CRASH");
  if (wish == nullptr) return;
  const std::string text(wish);
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return;
  const std::string name = cell.id + " " + Describe(cell);
  if (name.find(text.substr(0, colon)) == std::string::npos) return;
  const int number = std::atoi(text.c_str() + colon + 1);
  if (number == 0) {
    for (;;) pause();
  }
  signal(number, SIG_DFL);
  raise(number);
}

// A line now and then, for the parent's progress display.
class ProgressLines {
 public:
  bool operator()(int64_t done, int64_t total, const std::string& what) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(500)) return true;
    last_ = now;
    fmt::print(stderr, "{}{}/{} {}\n", kProgressMark, done, total, what);
    return true;
  }

 private:
  std::chrono::steady_clock::time_point last_;
};

std::vector<CellResult> RunCells(std::span<const Cell> cells,
                                 const CellContext& context) {
  const bool kernels =
      cells.size() > 1 &&
      std::all_of(cells.begin(), cells.end(),
                  [](const Cell& cell) { return cell.kind == "kernel"; });
  if (kernels) return RunKernelCells(cells);
  std::vector<CellResult> results;
  for (const Cell& cell : cells) {
    results.push_back(FindCellKind(cell.kind, "job").run(cell, context));
  }
  return results;
}

Json ResultsJson(const std::vector<CellResult>& results) {
  Json list = Json::array();
  for (const CellResult& result : results) {
    Json json = ToJson(result);
    json["samples"] = result.samples;
    json["lines"] = result.lines;
    list.push_back(json);
  }
  return list;
}

}  // namespace

Json JobJson(std::span<const Cell> cells) {
  Json list = Json::array();
  for (const Cell& cell : cells) list.push_back(ToJson(cell));
  return {{"cells", list}};
}

Json RunJob(const Json& job, const std::string& products) {
  std::vector<Cell> cells;
  for (const Json& cell : job.at("cells")) cells.push_back(CellFromJson(cell));
  for (const Cell& cell : cells) CrashIfAsked(cell);
  std::string failure;
  try {
    return {
        {"results", ResultsJson(RunCells(cells, {products, ProgressLines()}))},
        {"peak_memory_bytes", PeakMemory()}};
  } catch (const std::bad_alloc&) {
    failure = "out of memory";
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const std::vector<CellResult> failed(cells.size(),
                                       CellResult::Failed(failure));
  return {{"results", ResultsJson(failed)},
          {"peak_memory_bytes", PeakMemory()}};
}

std::vector<CellResult> TakeResults(std::span<const Cell> cells,
                                    const std::string& output,
                                    const ChildOutcome& outcome,
                                    double time_limit) {
  std::vector<CellResult> results;
  int64_t peak = outcome.peak_memory;
  if (outcome.ok()) {
    const Json json = ReadJsonFile(output);
    // The child's own count leaves out what it was before exec.
    peak = json.at("peak_memory_bytes");
    for (const Json& item : json.at("results")) {
      CellResult result = CellResultFromJson(item);
      result.samples = item.at("samples").get<std::vector<float>>();
      result.lines = item.at("lines").get<std::vector<std::string>>();
      results.push_back(std::move(result));
    }
  } else {
    results.assign(cells.size(),
                   CellResult::Failed(outcome.Reason(time_limit)));
    if (outcome.signal != 0) {
      for (CellResult& r : results) r.detail["signal"] = outcome.signal;
    }
  }
  unlink(output.c_str());
  for (CellResult& result : results) {
    result.detail["process_peak_memory_bytes"] = peak;
    result.detail["process_seconds"] = outcome.seconds;
  }
  return results;
}

}  // namespace rattn
