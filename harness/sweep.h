// Runs the cells of a plan: children, order, resume, progress.
#pragma once

#include <string>
#include <vector>

#include "harness/plan.h"
#include "harness/run_folder.h"

namespace rattn {

struct SweepOptions {
  int jobs = 0;  // cells at a time; 0 = number of cores
  bool retry_failed = false;
  std::string products;
};

struct SweepOutcome {
  int64_t done = 0, skipped = 0, failed = 0;  // of the plan, old and new
  int64_t ran = 0;                            // in this call
  bool interrupted = false;
  std::vector<std::string> failures;  // "cell: reason"
};

// Cells that have a result are not run again, failed and skipped ones only with
// retry_failed. Timing cells run alone, others `jobs` at a time, each after the
// cells it needs. Throws RunError if a result cannot be written.
SweepOutcome RunSweep(const Plan& plan, const SweepOptions& options,
                      const RunFolder& folder);

}  // namespace rattn
