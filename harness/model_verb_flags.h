// Flags of the verbs that run a model: which one, trained how, on what.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/cell_kinds.h"
#include "harness/fields.h"
#include "tasks/task.h"

namespace rattn {

// A field of train or eval cells set from a flag of the same name, dashes for
// underscores, "--window" for window_keys.
class FieldFlags {
 public:
  // Adds a flag for every field of `kind` but those named in `without`.
  FieldFlags(CLI::App& app, const CellKind& kind,
             const std::vector<std::string>& without);

  // What was given, as values of a cell: --device says it by the backend,
  // --param KEY=VALUE and --text go into task_params. Throws UserErrors.
  Json Values() const;

 private:
  struct Flag {
    std::string field;
    std::string text;
  };
  std::vector<std::unique_ptr<Flag>> flags_;
  std::vector<std::string> params_;
  std::string text_file_, device_;
};

}  // namespace rattn
