// Flags of `rattn eval` for checkpoints from disk, named as lm-eval's where it
// has them.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "harness/checkpoint_eval.h"
#include "harness/checkpoint_files.h"

namespace rattn {

struct EvalFlags {
  std::vector<std::string> tasks;
  std::string data, mixer, layers, output, journal, batch_size = "auto";
  std::string limit, generation, system;
  std::string ruler_mode = "official", ruler_wrapper;
  RulerSourcePaths ruler_paths;
  uint64_t ruler_seed = 42;
  int64_t shots = -1;  // -1: the task's
  int64_t stride = 0, context = 0;
  bool per_document_shots = false, write_out = false, predict_only = false;
  bool show_config = false, deterministic = true;
  bool chat = false, multiturn = false;

  void AddTo(CLI::App* app);
};

// "5" is a count, "0.1" a share. Throws UserError.
double ParseLimit(const std::string& text);
// Python's, NumPy's, torch's and the shots': one value for all, three without
// the shots', or four. Throws UserError.
std::array<int64_t, 4> ParseSeeds(const std::string& text);
// "max_gen_toks=64,until=x" or a JSON object. Throws UserError.
Json ParseGeneration(const std::string& text);

// `fields`: what was given of the flags that models trained here have as well
// (model, window_keys, variant, sinks, dtype, backend, threads, seed, samples,
// text). Throws UserErrors, also for others of them.
CheckpointSpec CheckpointSpecOf(const EvalFlags& flags, const Json& fields);
CheckpointEvalOptions CheckpointEvalOptionsOf(
    const EvalFlags& flags, const Json& fields,
    const std::vector<int64_t>& lengths);
// lm-eval's "config" of the same.
Json LmEvalConfigOf(const EvalFlags& flags, const Json& fields);

}  // namespace rattn
