// Runs a task on a model: requests, answers, metrics, samples.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/scoring_model.h"
#include "models/tokenizer.h"
#include "tasks/files/text_metrics.h"
#include "tasks/files/text_requests.h"
#include "tasks/files/text_statistics.h"
#include "tasks/files/text_task.h"

namespace rattn {

// Answers that are there already (a journal), keyed by RequestKey.
class AnswerStore {
 public:
  virtual ~AnswerStore() = default;
  virtual std::optional<TextAnswer> Find(const std::string& key,
                                         const TextRequest& request) = 0;
  virtual void Add(const std::string& key, const TextAnswer& answer) = 0;
};

struct TextEvalOptions {
  std::optional<int64_t> shots;  // the task's default otherwise
  uint64_t shot_seed = 1234;
  ShotOrder shot_order = ShotOrder::kLmEval;
  PromptFormat format;
  // The first documents: below 1 a share, rounded up; else a count.
  std::optional<double> limit;
  std::vector<int64_t> samples;      // or exactly these, in this order
  Json generation = Json::object();  // over the task's own settings
  int64_t bootstrap_draws = 100000;
  bool log_samples = false;
  AnswerStore* answers = nullptr;
  std::string model_key;  // hash of weights, tokenizer and settings
  // Requests done and in all; returns false to stop.
  std::function<bool(int64_t, int64_t)> progress;
};

struct TextMetric {
  std::string name;    // "acc", "acc_norm", "perplexity", ...
  std::string filter;  // "none", "strict-match", ...
  Estimate estimate;
  bool higher_is_better = true;
  std::optional<double> chance = {};  // of answers that are guessed
};

struct TextEvalResult {
  std::string name, alias;
  Json version;
  Json config;  // the task's settings, file hashes included
  int64_t shots = 0;
  int64_t documents = 0;  // of the task
  int64_t evaluated = 0;
  bool stopped = false;  // by options.progress; then there are no metrics
  std::vector<TextMetric> metrics;
  std::vector<Json> samples;  // lines of lm-eval's samples file, if asked for
  // Of other files that are asked for with the samples: their text by name.
  std::map<std::string, std::string> files;
  std::string task_hash;  // SHA-256 over the hashes of all samples
  int64_t requests = 0;
  int64_t answered_before = 0;  // found in the store
  int64_t merged_pairs = 0;     // a token spanned context and continuation
  int64_t truncated_prompts = 0;
  std::vector<int32_t> first_prompt;  // token ids, uncut
};

// Throws UserError for options that do not fit the task, RunError that names
// task and document for scores that are not finite. An answer goes to the store
// as soon as it is there.
TextEvalResult RunTextTask(const TextTask& task, const Tokenizer& tokenizer,
                           const ScoringModel& model,
                           const TextEvalOptions& options);

// Throws the UserErrors of RunTextTask without a model, at once.
void CheckTextTask(const TextTask& task, const TextEvalOptions& options);

// Numbers of the documents that the options select. Throws UserError.
std::vector<int64_t> SelectDocuments(const TextTask& task,
                                     const TextEvalOptions& options);

}  // namespace rattn
