// Files and tables of an evaluation, in lm-eval's formats.
#pragma once

#include <string>

#include "harness/checkpoint_eval.h"
#include "harness/checkpoint_files.h"

namespace rattn {

// What is said about a run beside its scores.
struct EvalRunFacts {
  CheckpointSpec checkpoint;
  Json identity;  // CheckpointIdentity
  const Tokenizer* tokenizer = nullptr;
  int64_t max_length = 0;
  PromptFormat format;
  Json flags = Json::object();  // lm-eval's "config": batch_size, limit, ...
  std::string date;             // EvalTime()
  double seconds = 0;
  ScoringWork work;
  std::string journal;  // path; empty: none
};

// Now, as lm-eval writes it into names of files: 2026-01-31T12-00-00.123456.
std::string EvalTime();

// lm-eval's object with our intervals; "made_by" beside each task's scores
// (weights, config, tokenizer, data files, generator); "ruler" with averages
// and effective length; "rattn" with the rest. Throws RunError that names a
// score which is not finite.
Json EvalResultsJson(const CheckpointEvalResult& result,
                     const EvalRunFacts& facts);

// results_DATE.json and samples_TASK_DATE.jsonl in OUTPUT/MODEL; where `output`
// ends in .json, that name with _DATE and samples beside it. RULER's prediction
// files are DATE/ruler/LENGTH/pred/TASK.jsonl there. Returns the path
// of the results.
std::string WriteEvalFiles(const std::string& output, const Json& json,
                           const CheckpointEvalResult& result,
                           const EvalRunFacts& facts);

// Tables of tasks, groups and RULER.
std::string EvalTables(const Json& json, const CheckpointEvalResult& result);

}  // namespace rattn
