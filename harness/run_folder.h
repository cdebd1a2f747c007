// The folder of a run:
//   run.json           machine, build, config, plan
//   cells/ID.json      one per finished cell, written whole or not at all
//   samples/ID.f32     raw times, little-endian float32 seconds
//   samples/ID.jsonl   scored samples
//   retired/ID.json    cells that the config no longer asks for
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/file_io.h"

namespace rattn {

struct FinishedCell {
  CellStatus status = CellStatus::kDone;
  std::string reason;
};

class RunFolder {
 public:
  // Makes and locks the folder and removes what a killed run left half
  // written. Throws UserError: not writable; RunError: another sweep holds it.
  explicit RunFolder(const std::string& path);

  const std::string& path() const { return path_; }
  // Where a child may write its output.
  std::string ScratchFile(const Cell& cell) const;

  // Cells with a result, by id. A file that cannot be read counts as none.
  std::map<std::string, FinishedCell> Finished() const;
  // Moves cells that are not among `ids` aside, and those that are back.
  void KeepOnly(const std::vector<std::string>& ids) const;
  void Write(const Cell& cell, CellResult result) const;  // throws RunError
  Json ReadRunJson() const;  // null if there is none that can be read
  void WriteRunJson(const Json& run) const;  // throws RunError

 private:
  std::string CellFile(const std::string& id) const;

  std::string path_;
  FileLock lock_;
};

}  // namespace rattn
