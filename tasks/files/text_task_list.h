// The one list of tasks on real text.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/files/data_folder.h"
#include "tasks/files/text_task.h"

namespace rattn {

struct TextTaskEntry {
  std::string_view name;
  std::vector<std::string_view> aliases;
  double version;
  std::string_view summary;
  std::vector<std::string_view> files;  // in the data folder
  OutputKind output;
  std::vector<std::string> metrics;
  int64_t default_shots;
  int64_t most_shots;  // -1 = as many as there are
  bool leave_one_out;
  void (*load)(DataFolder*, TextTask*);
};

// All but MMLU, whose names are many (tasks/files/mmlu.h).
std::span<const TextTaskEntry> TextTaskList();

// Every name and alias that LoadTextSuite knows, MMLU's included.
std::vector<std::string> TextTaskNames();

// Tasks and groups of `names`, each once. Throws UserError that names the
// nearest known task, a file that is missing, or a row that is wrong.
TextSuite LoadTextSuite(const std::vector<std::string>& names,
                        DataFolder* data);

}  // namespace rattn
