#include "harness/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "harness/hash.h"
#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxCellBytes = size_t{16} << 20;
constexpr size_t kLongestName = 120;

ReportCell ParseCell(const Json& json) {
  ReportCell cell;
  cell.id = json.at("id").get<std::string>();
  cell.kind = json.at("kind").get<std::string>();
  cell.axes = json.at("axes");
  cell.params = json.value("params", Json::object());
  if (!cell.axes.is_object() || !cell.params.is_object()) {
    throw UserError("axes and params must be objects");
  }
  cell.result = CellResultFromJson(json);
  // A length left open is the task's own, which only the result knows.
  const Json length = cell.axes.value("length", Json());
  if (length.is_null() && cell.result.detail.contains("length")) {
    cell.axes["length"] = cell.result.detail["length"];
  }
  return cell;
}

std::vector<fs::path> CellFiles(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

template <typename Function>
void Leniently(const std::string& what, RunData* run, Function function) {
  try {
    function();
  } catch (const std::exception& error) {
    std::string reason = error.what();
    // Errors of files begin with their path, which is absolute.
    if (const size_t at = reason.find(what); at != std::string::npos) {
      reason = reason.substr(at + what.size());
      reason = reason.substr(
          std::min(reason.find_first_not_of(": "), reason.size()));
    }
    // nlohmann's messages begin with "[json.exception...] ".
    if (const size_t end = reason.find("] ");
        reason.starts_with("[json.") && end != std::string::npos) {
      reason = reason.substr(end + 2);
    }
    run->problems.push_back(what + ": " + reason);
  }
}

// The first string at one of the places that a writer may have chosen.
std::string FirstString(const Json& json,
                        std::initializer_list<const char*> pointers) {
  for (const char* pointer : pointers) {
    const Json::json_pointer at(pointer);
    if (!json.contains(at) || !json[at].is_string()) continue;
    const std::string text = json[at];
    if (!text.empty()) return text.substr(0, kLongestName);
  }
  return "";
}

}  // namespace

ReportCell ReadCellFile(const std::string& path) {
  const std::string name = "cells/" + fs::path(path).filename().string();
  return ParseCell(ParseJsonText(ReadTextFile(path, kMaxCellBytes), name));
}

std::string CellsDigest(const RunData& run) {
  Json cells = Json::object();
  for (const ReportCell& cell : run.cells) {
    cells[cell.id] = Name(cell.result.status);
  }
  return HashJson(cells).substr(0, 16);
}

RunData LoadRun(const std::string& folder) {
  std::error_code error;
  const fs::path root(folder);
  if (!fs::is_directory(root, error)) {
    throw UserError(fmt::format(
        "{}: no such run folder; give the folder that rattn sweep wrote",
        folder));
  }
  RunData run;
  run.name = fs::weakly_canonical(root, error).filename().string();
  const std::vector<fs::path> files = CellFiles(root / "cells");
  if (files.empty()) {
    throw UserError(
        fmt::format("{}: no cells/*.json in it; rattn sweep writes "
                    "them",
                    folder));
  }
  Leniently("run.json", &run,
            [&] { run.facts = ReadJsonFile(root / "run.json"); });
  for (const fs::path& file : files) {
    const std::string name = "cells/" + file.filename().string();
    Leniently(name, &run, [&] { run.cells.push_back(ReadCellFile(file)); });
  }
  return run;
}

std::string MachineName(const RunData& run) {
  const std::string name = FirstString(
      run.facts, {"/machine/name", "/machine/cpu", "/machine/cpu/name",
                  "/machine/cpu/model", "/machine/processor"});
  return name.empty() ? "unknown machine" : name;
}

}  // namespace rattn
