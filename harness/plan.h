// A sweep config (configs/README.md) and its expansion into cells.
#pragma once

#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/cell_kinds.h"
#include "models/json_fields.h"

namespace rattn {

// Cells of one kind: the product of its axes.
struct CellGroup {
  std::string kind;
  std::string name;            // for people
  Json axes = Json::object();  // field -> list of values
  Json fixed =
      Json::object();         // field -> value, or {"by", "values", "default"}
  std::vector<Json> only;     // keep cells that match one of these
  std::vector<Json> exclude;  // drop cells that match one of these
};

struct SweepConfig {
  std::string name;
  std::string description;
  double time_limit = 900;  // seconds a cell may take
  std::vector<CellGroup> groups;
};

template <typename Visitor>
void VisitFields(Visitor& visit, CellGroup& c) {
  visit.Required("kind", c.kind, "kind of the cells");
  visit.Optional("name", c.name, "what the group is for");
  visit.Optional("axes", c.axes, "lists of values; their product is the plan");
  visit.Optional("fixed", c.fixed, "values that all cells share");
  visit.Optional("only", c.only, "keep cells that match one of these");
  visit.Optional("exclude", c.exclude, "drop cells that match one of these");
}

template <typename Visitor>
void VisitFields(Visitor& visit, SweepConfig& c) {
  visit.Required("name", c.name, "name of the run and of its folder");
  visit.Optional("description", c.description, "what the sweep shows");
  visit.Optional("time_limit", c.time_limit, "seconds a cell may take");
  visit.Required("groups", c.groups, "groups of cells");
}

// "window_keys=4,8": a field and the values given on the command line.
struct FieldChoice {
  std::string key;
  std::vector<Json> values;
};
// Throws UserError for text without '=' or without a value. Brackets and
// quotes keep their commas.
FieldChoice ParseChoice(const std::string& text, const std::string& flag);

struct PlanOptions {
  std::vector<FieldChoice> set;     // replaces the values of a field
  std::vector<FieldChoice> filter;  // keeps matching cells ("kind" is a field)
};

struct Plan {
  SweepConfig config;
  std::string origin;  // where the config came from
  Json config_json;    // as written, with the overrides of --set
  // Without doubles, every cell after those it needs.
  std::vector<Cell> cells;
  // What the plan holds without the filter: the cells that belong to the run.
  std::vector<std::string> all_ids;
};

// A config from a file by path or by name, or the default one for "".
// Throws UserErrors.
Plan LoadPlan(const std::string& name_or_path, const PlanOptions& options);
Plan MakePlan(const Json& config, const std::string& origin,
              const PlanOptions& options);

inline constexpr size_t kMaxCells = 100000;

}  // namespace rattn
