// Flags that set fields of cells; those with a list of values span a grid.
#pragma once

#include <CLI/CLI.hpp>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "harness/fields.h"

namespace rattn {

struct FieldFlag {
  const char* flag;
  const char* field;
  bool list = false;
};

class FlagGrid {
 public:
  // Help and defaults come from `fields`, defaults rather from `base`, whose
  // values every combination starts with.
  FlagGrid(CLI::App& app, const Fields& fields,
           std::span<const FieldFlag> flags, Json base);

  // Values of cells, one for each combination of what was given. `more` is put
  // over the base.
  std::vector<Json> Combinations(const Json& more = Json::object()) const;

 private:
  struct Given {
    std::string field;
    std::vector<std::string> texts;
  };
  Json base_;
  std::deque<Given> given_;  // flags keep addresses
};

}  // namespace rattn
