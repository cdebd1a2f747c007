#include <fmt/format.h>

#include <string>
#include <vector>

#include "kernels/nearest_name.h"
#include "models/error.h"
#include "tasks/task.h"
#include "tasks/text.h"
#include "tasks/two_hop.h"

namespace rattn {

std::span<const TaskEntry> TaskList() {
  static const std::vector<TaskEntry> tasks = {
      {"two_hop", "recall over one and two hops beside a local question",
       MakeTwoHop},
      {"text", "byte-level language modelling on a text file", MakeText},
  };
  return tasks;
}

std::unique_ptr<Task> MakeTask(const std::string& name,
                               const std::string& params_json) {
  std::vector<std::string> names;
  for (const TaskEntry& task : TaskList()) {
    if (task.name == name) return task.make(params_json);
    names.emplace_back(task.name);
  }
  throw UserError(
      fmt::format("unknown task \"{}\"{}", name, NearestHint(name, names)));
}

}  // namespace rattn
