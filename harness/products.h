// Trained models, kept under the hash of all that made them, so that every
// sweep that asks for the same training finds it.
#pragma once

#include <string>

#include "harness/cell.h"
#include "harness/file_io.h"
#include "models/model_config.h"
#include "models/runtime.h"
#include "tasks/task.h"

namespace rattn {

// What is kept between runs: $RATTN_CACHE, $XDG_CACHE_HOME/rattn or
// ~/.cache/rattn. Throws UserError if none of them is set.
std::string CacheFolder();
// Below it.
std::string ProductsFolder();

struct TrainingSpec {
  ModelConfig model;
  TrainOptions options;
  ExecutionOptions execution;
};

// Folder of the product below `products`. Holds checkpoint.safetensors,
// key.json (what was hashed) and, once trained, result.json.
std::string ProductFolder(const std::string& products,
                          const TrainingSpec& training, const Task& task);
Json ProductKey(const TrainingSpec& training, const Task& task);

inline constexpr const char* kCheckpointFile = "/checkpoint.safetensors";
inline constexpr const char* kResultFile = "/result.json";

}  // namespace rattn
