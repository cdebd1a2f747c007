// RULER-style tasks from their parameters.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/nearest_name.h"
#include "models/error.h"
#include "tasks/params.h"
#include "tasks/ruler.h"

namespace rattn {
namespace {

struct MixtureParams {
  RulerParams family;
  std::vector<std::string> tasks;
  std::map<std::string, double> weights;
  std::map<std::string, Json> overrides;
};

template <typename Visitor>
void VisitFields(Visitor& visit, MixtureParams& p) {
  VisitFields(visit, p.family);
  visit.Optional("tasks", p.tasks, "names; all RULER tasks if empty");
  visit.Optional("weights", p.weights, "share of the training rows by name");
  visit.Optional("overrides", p.overrides, "a task's own parameters by name");
}

const RulerKind& FindKind(std::string_view origin, std::string_view name) {
  std::vector<std::string> names;
  for (const RulerKind& kind : RulerKinds()) {
    if (kind.name == name) return kind;
    names.emplace_back(kind.name);
  }
  throw UserError(fmt::format("{}: unknown RULER task \"{}\"{}", origin, name,
                              NearestHint(name, names)));
}

// What changes neither the training data nor the answers to it.
Json Identity(Json params) {
  params.erase("scoring");
  params.erase("depth");
  return params;
}

std::vector<std::string> TaskNames(const MixtureParams& params) {
  if (!params.tasks.empty()) return params.tasks;
  std::vector<std::string> names;
  for (const RulerKind& kind : RulerKinds()) names.emplace_back(kind.name);
  return names;
}

// Weights and overrides of tasks that are not there are mistakes.
template <typename T>
void CheckNames(const char* key, const std::map<std::string, T>& by_name,
                const std::vector<std::string>& names) {
  for (const auto& [name, value] : by_name) {
    CheckOneOf("ruler", key, name, names);
  }
}

}  // namespace

std::unique_ptr<Task> MakeRuler(const std::string& params_json) {
  const std::string origin = "ruler";
  const Json json = ParseParams(origin, params_json);
  auto params = ParseFields<MixtureParams>(json, origin);
  auto vocab = std::make_unique<RulerVocab>(params.family.vocabulary);
  const auto names = TaskNames(params);
  CheckNames("weights", params.weights, names);
  CheckNames("overrides", params.overrides, names);
  std::vector<RulerMember> members;
  for (const std::string& name : names) {
    const RulerKind& kind = FindKind(origin, name);
    const bool twice = std::any_of(
        members.begin(), members.end(),
        [&](const RulerMember& member) { return member.name == name; });
    if (twice) throw UserError(fmt::format("ruler: \"{}\" twice", name));
    const auto weight = params.weights.find(name);
    const auto override = params.overrides.find(name);
    RulerMember member{
        name, weight == params.weights.end() ? 1 : weight->second,
        kind.make(*vocab,
                  override == params.overrides.end() ? Json::object()
                                                     : override->second,
                  origin, "overrides." + name)};
    if (!(member.weight >= 0 && member.weight <= 1e6)) {
      throw UserError(
          fmt::format("ruler: \"weights.{}\" must be from 0 to 1e6, not {}",
                      name, member.weight));
    }
    members.push_back(std::move(member));
  }
  params.tasks = names;
  return std::make_unique<RulerTask>(origin, params.family, std::move(vocab),
                                     std::move(members),
                                     Identity(PrintFields(params)));
}

std::unique_ptr<Task> MakeRulerTask(std::string_view kind_name,
                                    const std::string& params_json) {
  const std::string origin(kind_name);
  const RulerKind& kind = FindKind(origin, kind_name);
  const Json json = ParseParams(origin, params_json);
  // The family's keys are read here, the task's own by its generator; keys of
  // neither go to the generator, which names them.
  Json family = Json::object(), own = Json::object();
  const Json known = PrintFields(RulerParams());
  for (const auto& [key, value] : json.items()) {
    (known.contains(key) ? family : own)[key] = value;
  }
  const auto params = ParseFields<RulerParams>(family, origin);
  auto vocab = std::make_unique<RulerVocab>(params.vocabulary);
  std::vector<RulerMember> members;
  members.push_back({origin, 1, kind.make(*vocab, own, origin, "")});
  return std::make_unique<RulerTask>(
      origin, params, std::move(vocab), std::move(members),
      Identity({{"family", Identity(PrintFields(params))}, {"own", own}}));
}

}  // namespace rattn
