// A task: data to train on and questions to score. Knows models only through
// models/language_model.h and models/batch_source.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/batch_source.h"
#include "models/language_model.h"

namespace rattn {

struct EvalOptions {
  int64_t length = 0;  // tokens of a sequence; 0 = the training length
  int64_t samples = 256;
  uint64_t seed = 0;
  int64_t batch = 32;
  // Done and total samples; returns false to stop.
  std::function<bool(int64_t, int64_t)> progress;
};

struct Score {
  std::string key;  // "accuracy.Q1", "score", "bits_per_byte"
  double value = 0;
  double standard_error = 0;  // NaN: too few independent samples to tell
  double chance = 0;          // what guessing gives, in the same unit
  bool higher_is_better = true;
  std::string unit;  // "fraction", "percent", "bits per byte"
  int64_t n = 0;     // questions behind it
};

struct EvalResult {
  std::vector<Score> scores;              // the headline first
  std::vector<std::string> sample_jsonl;  // one JSON object per sample
};

class Task : public BatchSource {
 public:
  virtual std::string_view name() const = 0;
  virtual int64_t train_length() const = 0;
  virtual EvalResult Evaluate(const LanguageModel& model,
                              const EvalOptions& options) const = 0;
  // The sample's tokens and labels in words, for `rattn eval --show`.
  virtual std::string Show(uint64_t seed, int64_t index,
                           int64_t length) const = 0;
};

struct TaskEntry {
  std::string_view name;
  std::string_view summary;
  // From a JSON object of parameters; unknown keys are UserErrors.
  std::unique_ptr<Task> (*make)(const std::string& params_json);
};

// The one list of tasks.
std::span<const TaskEntry> TaskList();
// Throws UserError that names the nearest known task.
std::unique_ptr<Task> MakeTask(const std::string& name,
                               const std::string& params_json);

}  // namespace rattn
