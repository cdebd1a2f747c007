#include <fmt/format.h>

#include <string>
#include <vector>

#include "kernels/nearest_name.h"
#include "models/error.h"
#include "tasks/facts.h"
#include "tasks/ruler.h"
#include "tasks/task.h"
#include "tasks/text.h"
#include "tasks/two_hop.h"

namespace rattn {

namespace {

// TaskEntry::make takes the parameters alone, so each RULER task gets a
// function of its own, by its place in the list.
template <size_t kIndex>
std::unique_ptr<Task> MakeKind(const std::string& params_json) {
  return MakeRulerTask(RulerKinds()[kIndex].name, params_json);
}

constexpr size_t kMostKinds = 12;

template <size_t... kIndices>
void AddKinds(std::index_sequence<kIndices...>, std::vector<TaskEntry>* tasks) {
  constexpr decltype(TaskEntry::make) kMakers[] = {MakeKind<kIndices>...};
  for (size_t i = 0; i < RulerKinds().size(); ++i) {
    tasks->push_back(
        {RulerKinds()[i].name, RulerKinds()[i].summary, kMakers[i]});
  }
}

}  // namespace

std::span<const TaskEntry> TaskList() {
  static const std::vector<TaskEntry> tasks = [] {
    std::vector<TaskEntry> list = {
        {"two_hop", "recall over one and two hops beside a local question",
         MakeTwoHop},
        {"facts", "MMLU-style questions about a generated world of facts",
         MakeFacts},
        {"text", "byte-level language modelling on a text file", MakeText},
        {"ruler", "all RULER-style tasks, learned together", MakeRuler},
    };
    AddKinds(std::make_index_sequence<kMostKinds>(), &list);
    return list;
  }();
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
