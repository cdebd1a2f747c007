// The one list of kinds of cells. A kind says which fields its cells have,
// what they need, and how one is run (in a process of its own).
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "harness/cell.h"
#include "harness/fields.h"

namespace rattn {

struct CellContext {
  std::string products;  // folder of trained models, shared by all sweeps
  // Done, total, what: shown while the cell runs. Returns false to stop.
  std::function<bool(int64_t, int64_t, const std::string&)> progress;
};

struct CellKind {
  std::string_view name;
  std::string_view summary;
  const Fields& (*fields)();
  // Brings complete values into their one spelling (a variant without a
  // window has window_keys null) and refuses impossible ones with UserErrors
  // that begin with `origin`. May be null.
  void (*normalize)(Json& values, const std::string& origin);
  // Timing cells run with nothing beside them. May be null: never alone.
  bool (*alone)(const Cell& cell);
  // The cell whose product this one uses. May be null: none.
  std::optional<Cell> (*needs)(const Cell& cell);
  CellResult (*run)(const Cell& cell, const CellContext& context);
  // Throws UserError where files that a cell needs are missing; called before a
  // sweep begins. May be null.
  void (*check)(const Cell& cell) = nullptr;
};

std::span<const CellKind> CellKinds();
std::vector<std::string> CellKindNames();
// Throws UserError that names the nearest known kind.
const CellKind& FindCellKind(std::string_view name, const std::string& origin);

// A cell of `kind` from values for its fields; throws UserErrors that begin
// with `origin`.
Cell BuildCell(const CellKind& kind, const Json& values,
               const std::string& origin);

}  // namespace rattn
