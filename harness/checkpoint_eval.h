// An evaluation of one checkpoint on tasks on real text.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/eval_tasks.h"
#include "harness/ruler_eval.h"
#include "tasks/files/run_text_task.h"
#include "tasks/files/text_perplexity.h"

namespace rattn {

struct CheckpointEvalOptions {
  std::vector<std::string> tasks;  // see EvalTaskNames
  std::string data;                // see FindDataFolder
  TextEvalOptions text;            // but for samples and progress
  std::map<std::string, std::vector<int64_t>> samples;  // documents by task
  RulerEvalOptions ruler;
  RulerSourcePaths ruler_paths;  // its data is `data` where empty
  std::string text_file;         // of the task "perplexity"
  PerplexityOptions perplexity;  // window, stride, most_tokens
  bool predict_only = false;     // answers are kept, nothing is scored
};

struct CheckpointEvalEvents {
  // Task, its place from 1 and their number, requests done and in all; returns
  // false to stop.
  std::function<bool(const std::string&, size_t, size_t, int64_t, int64_t)>
      progress;
  // Called ahead of each task where it is set.
  std::function<void(const std::string&, const std::vector<int32_t>&)>
      first_prompt;
};

struct CheckpointEvalResult {
  std::vector<TextEvalResult> results;
  std::vector<TextGroup> groups;
  std::vector<RulerScoreRow> ruler;  // always 0 to 100
  RulerMode ruler_mode = RulerMode::kOfficial;
  bool stopped = false;
};

class CheckpointEval {
 public:
  // Reads all data, so that what is missing is known before a model is loaded.
  // Throws UserErrors. `tokenizer` must outlive it.
  CheckpointEval(CheckpointEvalOptions options, const Tokenizer& tokenizer);

  // Throws UserErrors and RunErrors of RunTextTask, RunRulerTask and
  // RunPerplexity.
  CheckpointEvalResult Run(const ScoringModel& model,
                           const CheckpointEvalEvents& events);

 private:
  size_t Count() const;
  TextEvalOptions OptionsOf(const std::string& task) const;
  void CheckFormat() const;
  void CheckRulerData();
  void CheckRulerLengths(const RulerTextTask& task);
  void Preview(
      const CheckpointEvalEvents& events, const std::string& name,
      const std::function<TextEvalResult(const TextEvalOptions&)>& run) const;
  TextEvalResult RunPerplexityTask(const ScoringModel& model,
                                   const TextEvalOptions& text) const;

  CheckpointEvalOptions options_;
  const Tokenizer& tokenizer_;
  EvalTasks tasks_;
  std::unique_ptr<RulerSources> sources_;
};

}  // namespace rattn
