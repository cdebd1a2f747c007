// rattn eval on a checkpoint from disk: what its verb hands over.
#pragma once

#include <vector>

#include "harness/eval_flags.h"

namespace rattn {

struct CheckpointEvalArguments {
  EvalFlags flags;
  Json fields;  // given values of the flags that trained models have as well
  std::vector<int64_t> lengths;
  bool log_samples = false;
  bool json = false;
};

// Returns the exit code. Throws UserErrors and RunErrors.
int RunCheckpointEval(const CheckpointEvalArguments& arguments);

}  // namespace rattn
