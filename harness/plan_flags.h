// The flags that name a plan, the same for every verb that takes one.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/plan.h"

namespace rattn {

struct PlanFlags {
  std::string config;  // empty = the built-in sweep
  std::vector<std::string> set, filter;
};

void AddPlanFlags(CLI::App& app, PlanFlags* flags);
Plan LoadPlan(const PlanFlags& flags);

}  // namespace rattn
