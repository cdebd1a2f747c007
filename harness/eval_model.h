// Scores of a model on a task, as metrics of a cell.
#pragma once

#include "harness/cell_kinds.h"
#include "models/language_model.h"
#include "tasks/task.h"

namespace rattn {

// `values`: length, samples, eval_seed, eval_batch, decode_context,
// decode_tokens, log_samples of an eval cell. Adds what decoding takes.
CellResult EvaluateModel(const LanguageModel& model, const Task& task,
                         const Json& values, const CellContext& context);

}  // namespace rattn
