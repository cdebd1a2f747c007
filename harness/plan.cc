#include "harness/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include "harness/default_sweep.h"
#include "kernels/nearest_name.h"
#include "models/config_files.h"
#include "models/error.h"

namespace rattn {
namespace {

bool Matches(const Json& wanted, const Json& value) {
  if (!wanted.is_array()) return wanted == value;
  return std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

// Whether a cell matches {"variant": ["swa", "rattention"], "window_keys": 4}.
bool MatchesRule(const Json& rule, const Cell& cell) {
  for (const auto& [key, wanted] : rule.items()) {
    if (!Matches(wanted, cell.Get(key))) return false;
  }
  return true;
}

void CheckKey(const std::string& key, const Fields& fields,
              const std::string& origin) {
  if (FindField(fields, key) != nullptr) return;
  throw UserError(fmt::format("{}: unknown key '{}'{}", origin, key,
                              NearestHint(key, FieldKeys(fields))));
}

bool IsChoiceByField(const Json& value) {
  return value.is_object() && value.contains("by") && value.contains("values");
}

// {"by": "variant", "values": {"swa": 1}, "default": 2}: a value that depends
// on an axis of the cell.
Json Resolve(const std::string& key, const Json& value, const Json& chosen,
             const Fields& fields, const std::string& origin) {
  if (!IsChoiceByField(value)) return value;
  const std::string at = fmt::format("{}: {}", origin, key);
  json_fields::CheckKeys(origin, key, value, {"by", "values", "default"});
  if (!value["by"].is_string() || !value["values"].is_object()) {
    throw UserError(at + ": \"by\" names a field, \"values\" is an object");
  }
  const std::string by = value["by"];
  CheckKey(by, fields, at);
  const auto it = chosen.find(by);
  if (it == chosen.end() || IsChoiceByField(*it)) {
    throw UserError(
        fmt::format("{}: the group gives no plain value for '{}'", at, by));
  }
  if (const auto found = value["values"].find(ValueText(*it));
      found != value["values"].end()) {
    return *found;
  }
  if (value.contains("default")) return value["default"];
  throw UserError(fmt::format("{}: no value for {} = {} and no \"default\"", at,
                              by, ValueText(*it)));
}

class GroupExpander {
 public:
  GroupExpander(const CellGroup& group, const CellKind& kind,
                std::string origin)
      : group_(group),
        kind_(kind),
        fields_(kind.fields()),
        origin_(std::move(origin)) {
    Check();
  }

  size_t combinations() const { return combinations_; }

  void Expand(std::vector<Cell>* cells) const {
    Json values = group_.fixed;
    Product(0, &values, cells);
  }

 private:
  void Check() {
    for (const auto& [key, list] : group_.axes.items()) {
      CheckKey(key, fields_, origin_);
      if (group_.fixed.contains(key)) {
        throw UserError(
            fmt::format("{}: '{}' is both an axis and fixed", origin_, key));
      }
      if (!list.is_array() || list.empty()) {
        throw UserError(
            fmt::format("{}: axis '{}' must be a list of at least one value",
                        origin_, key));
      }
      combinations_ *= std::min(list.size(), kMaxCells + 1);
      if (combinations_ > kMaxCells) {
        throw UserError(
            fmt::format("{}: more than {} cells", origin_, kMaxCells));
      }
      axes_.emplace_back(key, list);
    }
    for (const auto& [key, value] : group_.fixed.items()) {
      CheckKey(key, fields_, origin_);
    }
    for (const std::vector<Json>* rules : {&group_.only, &group_.exclude}) {
      for (const Json& rule : *rules) {
        if (!rule.is_object() || rule.empty()) {
          throw UserError(origin_ +
                          ": a rule of only or exclude is an object of fields");
        }
        for (const auto& [key, value] : rule.items()) {
          CheckKey(key, fields_, origin_);
        }
      }
    }
  }

  void Product(size_t axis, Json* values, std::vector<Cell>* cells) const {
    if (axis == axes_.size()) {
      Json resolved = Json::object();
      for (const auto& [key, value] : values->items()) {
        resolved[key] = Resolve(key, value, *values, fields_, origin_);
      }
      Cell cell = BuildCell(kind_, resolved, origin_);
      if (Keeps(cell)) cells->push_back(std::move(cell));
      return;
    }
    for (const Json& value : axes_[axis].second) {
      (*values)[axes_[axis].first] = value;
      Product(axis + 1, values, cells);
    }
  }

  bool Keeps(const Cell& cell) const {
    const auto matches = [&](const Json& rule) {
      return MatchesRule(rule, cell);
    };
    const bool kept =
        group_.only.empty() ||
        std::any_of(group_.only.begin(), group_.only.end(), matches);
    return kept &&
           std::none_of(group_.exclude.begin(), group_.exclude.end(), matches);
  }

  const CellGroup& group_;
  const CellKind& kind_;
  const Fields& fields_;
  std::string origin_;
  size_t combinations_ = 1;
  std::vector<std::pair<std::string, Json>> axes_;
};

// Every field that some kind has: what --set and --filter may name.
std::vector<std::string> AllKeys() {
  std::set<std::string> keys = {"kind"};
  for (const CellKind& kind : CellKinds()) {
    for (const Field& field : kind.fields()) keys.insert(field.key);
  }
  return {keys.begin(), keys.end()};
}

void CheckChoice(const FieldChoice& choice, const char* flag) {
  const std::vector<std::string> keys = AllKeys();
  if (std::find(keys.begin(), keys.end(), choice.key) == keys.end()) {
    throw UserError(fmt::format("{}: unknown field '{}'{}", flag, choice.key,
                                NearestHint(choice.key, keys)));
  }
}

bool Names(const Json& group, const std::string& key) {
  return (group.contains("fixed") && group["fixed"].contains(key)) ||
         (group.contains("axes") && group["axes"].contains(key));
}

// Sets a field in the groups that name it: a list of seeds for trainings must
// not multiply timings. Where none does, in every group whose kind has it.
void Override(const FieldChoice& choice, Json* config) {
  CheckChoice(choice, "--set");
  std::vector<Json*> having, naming;
  for (Json& group : (*config)["groups"]) {
    const CellKind& kind = FindCellKind(group["kind"].get<std::string>(), "");
    if (FindField(kind.fields(), choice.key) == nullptr) continue;
    having.push_back(&group);
    if (Names(group, choice.key)) naming.push_back(&group);
  }
  if (having.empty()) {
    throw UserError(fmt::format(
        "--set: no group of this sweep has a field '{}'", choice.key));
  }
  for (Json* group : naming.empty() ? having : naming) {
    if (group->contains("fixed")) (*group)["fixed"].erase(choice.key);
    (*group)["axes"][choice.key] = choice.values;
  }
}

Json ValueFor(const FieldChoice& choice, const Cell& cell) {
  return choice.key == "kind" ? Json(cell.kind) : cell.Get(choice.key);
}

// A value that no cell has is a typing error, not a filter.
void CheckFilterValues(const FieldChoice& choice,
                       const std::vector<Cell>& cells) {
  std::set<std::string> known;
  for (const Cell& cell : cells)
    known.insert(ValueText(ValueFor(choice, cell)));
  for (const Json& value : choice.values) {
    if (known.contains(ValueText(value))) continue;
    throw UserError(fmt::format(
        "--filter: no cell has {} = {}{}", choice.key, ValueText(value),
        NearestHint(ValueText(value), {known.begin(), known.end()})));
  }
}

bool PassesFilter(const Cell& cell, const std::vector<FieldChoice>& filter) {
  return std::all_of(
      filter.begin(), filter.end(), [&](const FieldChoice& choice) {
        return Matches(Json(choice.values), ValueFor(choice, cell));
      });
}

// Appends cells with what they need before them, each once.
class Collector {
 public:
  explicit Collector(std::vector<Cell>* cells) : cells_(cells) {}

  void Add(Cell cell) {
    if (!seen_.insert(cell.id).second) return;
    const CellKind& kind = FindCellKind(cell.kind, "plan");
    if (kind.needs != nullptr) {
      if (std::optional<Cell> needed = kind.needs(cell)) {
        cell.needs = {needed->id};
        Add(std::move(*needed));
      }
    }
    cells_->push_back(std::move(cell));
    if (cells_->size() > kMaxCells) {
      throw UserError(
          fmt::format("the plan has more than {} cells", kMaxCells));
    }
  }

 private:
  std::vector<Cell>* cells_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

FieldChoice ParseChoice(const std::string& text, const std::string& flag) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    throw UserError(
        fmt::format("{} '{}': write {} field=value or {} field=value,value",
                    flag, text, flag, flag));
  }
  FieldChoice choice{text.substr(0, equals), {}};
  std::string value;
  int depth = 0;
  bool quoted = false;
  for (const char c : text.substr(equals + 1) + ",") {
    quoted ^= c == '"';
    if (!quoted) depth += (c == '[' || c == '{') - (c == ']' || c == '}');
    if (c == ',' && depth <= 0 && !quoted) {
      choice.values.push_back(ParseValue(value));
      value.clear();
    } else {
      value += c;
    }
  }
  if (!value.empty()) {
    throw UserError(
        fmt::format("{} '{}': a bracket or quote is not closed", flag, text));
  }
  return choice;
}

Plan MakePlan(const Json& config, const std::string& origin,
              const PlanOptions& options) {
  Plan plan;
  plan.origin = origin;
  plan.config_json = config;
  // Parsed before the overrides, which rely on a well-formed config.
  plan.config = ParseFields<SweepConfig>(config, origin);
  for (const CellGroup& group : plan.config.groups) {
    FindCellKind(group.kind, origin);
  }
  for (const FieldChoice& choice : options.set) {
    Override(choice, &plan.config_json);
  }
  plan.config = ParseFields<SweepConfig>(plan.config_json, origin);
  if (plan.config.name.empty() || plan.config.name.starts_with('.') ||
      plan.config.name.find('/') != std::string::npos) {
    throw UserError(origin +
                    ": \"name\" must be a word that can name a folder");
  }
  if (!(plan.config.time_limit > 0)) {
    throw UserError(origin + ": \"time_limit\" must be above 0");
  }
  std::vector<Cell> product;
  size_t combinations = 0;
  for (size_t i = 0; i < plan.config.groups.size(); ++i) {
    const CellGroup& group = plan.config.groups[i];
    const std::string label =
        group.name.empty() ? fmt::format("groups[{}]", i) : group.name;
    const GroupExpander expander(
        group, FindCellKind(group.kind, origin),
        fmt::format("{}: {} ({})", origin, label, group.kind));
    combinations += expander.combinations();
    if (combinations > kMaxCells) {
      throw UserError(fmt::format("{}: more than {} cells", origin, kMaxCells));
    }
    expander.Expand(&product);
  }
  std::vector<Cell> all;
  Collector collect_all(&all), collect_kept(&plan.cells);
  for (const Cell& cell : product) collect_all.Add(cell);
  for (const FieldChoice& choice : options.filter) {
    CheckChoice(choice, "--filter");
    CheckFilterValues(choice, all);
  }
  for (const Cell& cell : all) {
    if (PassesFilter(cell, options.filter)) collect_kept.Add(cell);
  }
  if (all.empty()) throw UserError(origin + ": the sweep has no cells");
  if (plan.cells.empty()) {
    throw UserError("--filter: no cell passes all of the filters");
  }
  for (const Cell& cell : all) plan.all_ids.push_back(cell.id);
  return plan;
}

Plan LoadPlan(const std::string& name_or_path, const PlanOptions& options) {
  if (name_or_path.empty()) {
    const std::string origin = "built-in sweep";
    return MakePlan(ParseJsonText(kDefaultSweep, origin), origin, options);
  }
  const std::string path = FindConfig("", name_or_path);
  return MakePlan(ReadJsonFile(path), path, options);
}

}  // namespace rattn
