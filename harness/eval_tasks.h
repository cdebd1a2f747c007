// Names of evaluations on real text as what they stand for.
#pragma once

#include <string>
#include <vector>

#include "tasks/files/data_folder.h"
#include "tasks/files/text_task.h"
#include "tasks/ruler_text/text_tasks.h"

namespace rattn {

struct EvalTasks {
  TextSuite suite;
  std::vector<const RulerTextTask*> ruler;
  bool perplexity = false;  // of a text file
};

// All names: tasks and groups on text, "ruler" and its tasks, "perplexity".
std::vector<std::string> EvalTaskNames();

// Throws UserErrors: the nearest known name, what is missing in the folder.
// `data`: see FindDataFolder; not looked for where no task needs it.
EvalTasks LoadEvalTasks(const std::vector<std::string>& names,
                        const std::string& data);

}  // namespace rattn
