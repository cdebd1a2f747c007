// The metrics of a checkpoint_eval cell.
#pragma once

#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/checkpoint_eval.h"

namespace rattn {

// Of an evaluation of one task, a group of MMLU or RULER: the task's scores, a
// group's by document and by subject, RULER's mean over its tasks (0 to 100)
// and those of its tasks. `json`: EvalResultsJson of the same result.
std::vector<Metric> CheckpointMetrics(const CheckpointEvalResult& result,
                                      const Json& json,
                                      const std::string& task);

}  // namespace rattn
