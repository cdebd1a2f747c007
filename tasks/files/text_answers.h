// Answers to text requests by a model, or from a store where they are there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tasks/files/pair_encoding.h"
#include "tasks/files/run_text_task.h"

namespace rattn {

struct AnsweredRequests {
  std::vector<TextAnswer> answers;  // one a request
  bool stopped = false;
  int64_t answered_before = 0;
};

// Equal requests are asked once. `place(i)` names request i in errors.
AnsweredRequests AnswerRequests(
    const std::vector<TextRequest>& requests, const Tokenizer& tokenizer,
    const ScoringModel& model, const TextEvalOptions& options,
    PairEncoder* encoder, const std::function<std::string(size_t)>& place);

}  // namespace rattn
