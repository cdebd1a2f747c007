// rattn roofline --kernels: what the CUDA kernels take of a GPU, and how long
// they could take at best.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/model_config.h"

namespace rattn {

struct KernelRooflineFlags {
  ModelConfig model;  // heads, head dim and window
  std::vector<std::string> hardware;
  std::vector<std::string> variants;  // empty: those that are no ablations
  std::vector<int64_t> windows;       // empty: the model's
  std::optional<int64_t> sinks;       // of variants that have them
  std::vector<int64_t> contexts;
  std::vector<int64_t> batches;
  std::vector<std::string> phases;
  bool json = false;
};

// Prints; returns the exit code. Throws UserError and RunError.
int RunKernelRoofline(const KernelRooflineFlags& flags);

}  // namespace rattn
