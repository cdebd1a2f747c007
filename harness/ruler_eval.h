// RULER on real text, scored like any other task.
#pragma once

#include <vector>

#include "tasks/files/run_text_task.h"
#include "tasks/ruler_text/make_data.h"
#include "tasks/ruler_text/summary.h"

namespace rattn {

struct RulerEvalOptions {
  RulerMode mode = RulerMode::kOfficial;
  std::vector<int64_t> lengths = {4096};
  RulerRequest request;  // its length is not used
};

// A metric for each length, named by it, 0 to 100 (mode lm-eval: 0 to 1). Of
// `text` the limit on samples, answers, model_key, progress and log_samples
// count. Prompts are never cut, also beyond the length that the model was made
// for. With log_samples the result has RULER's prediction files as well,
// ruler/LENGTH/pred/TASK.jsonl. Adds to `rows`. Throws UserErrors of
// MakeRulerSamples.
TextEvalResult RunRulerTask(const RulerTextTask& task,
                            const RulerEvalOptions& options,
                            RulerSources* sources, const Tokenizer& tokenizer,
                            const ScoringModel& model,
                            const TextEvalOptions& text,
                            std::vector<RulerScoreRow>* rows);

}  // namespace rattn
