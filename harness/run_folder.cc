#include "harness/run_folder.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "harness/run_data.h"
#include "harness/run_json.h"
#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFolders[] = {"cells", "samples", "retired"};

// Moves DIR/from/ID.json to DIR/to/ID.json where `wanted(id)` holds.
template <typename Wanted>
void MoveCells(const fs::path& folder, const char* from, const char* to,
               const Wanted& wanted) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder / from)) {
    if (entry.path().extension() == ".json" &&
        wanted(entry.path().stem().string())) {
      files.push_back(entry.path());
    }
  }
  for (const fs::path& file : files) {
    std::error_code error;
    fs::rename(file, folder / to / file.filename(), error);
    if (error) {
      throw RunError(
          fmt::format("cannot move '{}': {}", file.string(), error.message()));
    }
  }
}

std::string SampleBytes(const std::vector<float>& samples) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(samples.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), samples.data(), bytes.size());
  return bytes;
}

}  // namespace

RunFolder::RunFolder(const std::string& path) : path_(path) {
  MakeWritableFolder(path);
  std::string holder;
  lock_ = FileLock::Try(path + "/.lock", &holder);
  if (!lock_.held()) {
    throw RunError(fmt::format(
        "another sweep ({}) is working in '{}': wait for it, or choose another "
        "folder with --out",
        holder, path));
  }
  RemoveStaleTemporaries(path);
  for (const char* folder : kFolders) {
    MakeWritableFolder((fs::path(path) / folder).string());
    RemoveStaleTemporaries((fs::path(path) / folder).string());
  }
  std::error_code error;
  fs::remove_all(fs::path(path) / "scratch", error);
  MakeWritableFolder((fs::path(path) / "scratch").string());
}

std::string RunFolder::ScratchFile(const Cell& cell) const {
  return path_ + "/scratch/" + cell.id + ".json";
}

std::string RunFolder::CellFile(const std::string& id) const {
  return path_ + "/cells/" + id + ".json";
}

std::map<std::string, FinishedCell> RunFolder::Finished() const {
  std::map<std::string, FinishedCell> finished;
  for (const auto& entry : fs::directory_iterator(path_ + "/cells")) {
    if (entry.path().extension() != ".json") continue;
    try {
      // By the reader of reports: what they would skip is not finished.
      const ReportCell cell = ReadCellFile(entry.path().string());
      if (cell.id != entry.path().stem().string()) continue;
      finished[cell.id] = {cell.result.status, cell.result.reason};
    } catch (const std::exception&) {
      // Damaged by hand or disk: it will be run again and overwritten.
    }
  }
  return finished;
}

void RunFolder::KeepOnly(const std::vector<std::string>& ids) const {
  const std::unordered_set<std::string> wanted(ids.begin(), ids.end());
  MoveCells(path_, "cells", "retired",
            [&](const std::string& id) { return !wanted.contains(id); });
  MoveCells(path_, "retired", "cells",
            [&](const std::string& id) { return wanted.contains(id); });
}

void RunFolder::Write(const Cell& cell, CellResult result) const {
  result.detail["made_by"] = MadeBy();
  // Side files first: the cell's own file says that all is there.
  if (!result.samples.empty()) {
    const std::string name = "samples/" + cell.id + ".f32";
    WriteFileAtomically(path_ + "/" + name, SampleBytes(result.samples));
    result.detail["samples_file"] = name;
  }
  if (!result.lines.empty()) {
    const std::string name = "samples/" + cell.id + ".jsonl";
    WriteFileAtomically(path_ + "/" + name,
                        fmt::format("{}\n", fmt::join(result.lines, "\n")));
    result.detail["answers_file"] = name;
  }
  WriteFileAtomically(CellFile(cell.id),
                      CellFileJson(cell, result).dump(1) + "\n");
}

Json RunFolder::ReadRunJson() const {
  try {
    Json run = ReadJsonFile(path_ + "/run.json");
    if (run.is_object()) return run;
  } catch (const std::exception&) {
    // None yet, or damaged: it will be written anew.
  }
  return nullptr;
}

void RunFolder::WriteRunJson(const Json& run) const {
  WriteFileAtomically(path_ + "/run.json", run.dump(1) + "\n");
}

}  // namespace rattn
