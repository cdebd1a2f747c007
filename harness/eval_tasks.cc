#include "harness/eval_tasks.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/checkpoint_files.h"
#include "kernels/nearest_name.h"
#include "models/error.h"
#include "tasks/files/text_task_list.h"

namespace rattn {
namespace {

constexpr const char* kRuler = "ruler";
constexpr const char* kPerplexity = "perplexity";

// Adds the tasks of RULER that `name` stands for; false if it is none.
bool AddRuler(const std::string& name,
              std::vector<const RulerTextTask*>* tasks) {
  bool found = false;
  for (const RulerTextTask& task : RulerTextTasks()) {
    if (name != kRuler && name != task.name && name != task.lm_eval_name) {
      continue;
    }
    found = true;
    if (std::find(tasks->begin(), tasks->end(), &task) == tasks->end()) {
      tasks->push_back(&task);
    }
  }
  return found;
}

}  // namespace

std::vector<std::string> EvalTaskNames() {
  std::vector<std::string> names = TextTaskNames();
  names.emplace_back(kPerplexity);
  names.emplace_back(kRuler);
  for (const RulerTextTask& task : RulerTextTasks()) {
    names.emplace_back(task.name);
    if (task.lm_eval_name != task.name) names.emplace_back(task.lm_eval_name);
  }
  return names;
}

EvalTasks LoadEvalTasks(const std::vector<std::string>& names,
                        const std::string& data) {
  const std::vector<std::string> known = EvalTaskNames();
  EvalTasks tasks;
  std::vector<std::string> text;
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw UserError(
          fmt::format("unknown task '{}'{}", name, NearestHint(name, known)));
    }
    if (name == kPerplexity) {
      tasks.perplexity = true;
    } else if (!AddRuler(name, &tasks.ruler)) {
      text.push_back(name);
    }
  }
  if (text.empty()) return tasks;
  DataFolder folder(FindDataFolder(data));
  tasks.suite = LoadTextSuite(text, &folder);
  return tasks;
}

}  // namespace rattn
