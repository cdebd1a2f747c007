#include <fmt/format.h>

#include <map>
#include <memory>

#include "harness/plan_flags.h"
#include "harness/verb_functions.h"

namespace rattn {
namespace {

struct PlanVerbOptions {
  PlanFlags plan;
  bool json = false;
};

int RunPlan(const PlanVerbOptions& options) {
  const Plan plan = LoadPlan(options.plan);
  if (options.json) {
    Json cells = Json::array();
    for (const Cell& cell : plan.cells) cells.push_back(ToJson(cell));
    const Json json = {{"name", plan.config.name},
                       {"description", plan.config.description},
                       {"config", plan.origin},
                       {"cells", cells}};
    fmt::print("{}\n", json.dump(2));
    return kExitDone;
  }
  std::map<std::string, int> count;
  for (const Cell& cell : plan.cells) {
    fmt::print("{}  {}\n", cell.id, Describe(cell));
    ++count[cell.kind];
  }
  fmt::print("{}: {} cells", plan.config.name, plan.cells.size());
  for (const auto& [kind, n] : count) fmt::print(", {} {}", n, kind);
  fmt::print("\n");
  return kExitDone;
}

}  // namespace

void AddPlan(CLI::App& app, Action* action) {
  auto options = std::make_shared<PlanVerbOptions>();
  AddPlanFlags(app, &options->plan);
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunPlan(*options); };
}

}  // namespace rattn
