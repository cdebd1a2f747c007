// What a model's caches hold after a prompt, and how fast it decodes there.
#pragma once

#include <cstdint>

#include "harness/cell.h"
#include "models/language_model.h"
#include "tasks/task.h"

namespace rattn {

// Adds kv_bytes and state_bytes, counted where the caches were allocated, after
// a prompt of `context` tokens of the task and, with decode_tokens > 0,
// decode_throughput with its samples: each the mean time of a token in one of
// several repetitions.
void AddCacheUse(const LanguageModel& model, const Task& task, int64_t context,
                 int64_t decode_tokens, CellResult* result);

}  // namespace rattn
