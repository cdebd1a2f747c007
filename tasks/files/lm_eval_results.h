// lm-eval's results file and table, with what we add to them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/json_fields.h"
#include "tasks/files/run_text_task.h"
#include "tasks/files/text_task.h"

namespace rattn {

// The results object: results, groups, group_subtasks, configs, versions,
// n-shot, higher_is_better, n-samples, task_hashes, as lm-eval has them. `run`
// is an object whose keys follow (config, git_hash, date, model_name, ...).
// Ours beside each "METRIC,FILTER": "METRIC_ci95,FILTER" [low, high] and, of
// choices, "METRIC_chance,FILTER"; in groups
// also "METRIC_by_subject,FILTER" where every task counts the same, with its
// error, and "note". Groups whose members are not all in `results` are left
// out. Numbers that are unknown are "N/A", as there.
Json LmEvalResults(std::span<const TextEvalResult> results,
                   std::span<const TextGroup> groups, const Json& run);

// The table that lm-eval prints of a results object, in Markdown. `column` is
// "results" or "groups". Ends with a line break.
std::string LmEvalTable(const Json& results, const std::string& column);

}  // namespace rattn
