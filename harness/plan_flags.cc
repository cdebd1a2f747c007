#include "harness/plan_flags.h"

namespace rattn {

void AddPlanFlags(CLI::App& app, PlanFlags* flags) {
  app.add_option("config", flags->config,
                 "sweep config: a path, or a name in configs/ (default: the "
                 "built-in sweep, quick)");
  app.add_option("--filter", flags->filter,
                 "keep cells with field=value[,value]; repeatable")
      ->allow_extra_args(false);
  app.add_option("--set", flags->set,
                 "replace the values of a field: field=value[,value]; "
                 "repeatable")
      ->allow_extra_args(false);
}

Plan LoadPlan(const PlanFlags& flags) {
  PlanOptions options;
  for (const std::string& text : flags.filter) {
    options.filter.push_back(ParseChoice(text, "--filter"));
  }
  for (const std::string& text : flags.set) {
    options.set.push_back(ParseChoice(text, "--set"));
  }
  return LoadPlan(flags.config, options);
}

}  // namespace rattn
