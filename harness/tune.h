// rattn bench --tune: which tile sizes of the cpu backend suit this machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/measure.h"
#include "kernels/cpu/tile_sizes.h"

namespace rattn {

// How one candidate did against the size in use, per kernel.
struct TuneScore {
  double gain = 1;       // geometric mean of (time in use / time)
  bool clearly = false;  // faster beyond noise somewhere, slower nowhere
};

// `in_use` and `candidate`: quartiles of the same kernels, in order.
TuneScore Score(const std::vector<Summary>& in_use,
                const std::vector<Summary>& candidate);

// A change must win by this much on average, and clearly: fewer samples than
// these have no quartiles to speak of.
inline constexpr double kLeastGain = 1.02;
inline constexpr int64_t kLeastSamples = 5;

struct TuneOptions {
  double max_seconds = 1;  // of the samples of one candidate on one kernel
  int threads = 0;         // 0 = one per core
};

// Measures candidates of one size after the other, starting from the defaults;
// each size is kept only where it wins. Prints a line per candidate.
MachineTileSizes Tune(const TuneOptions& options);

// Tunes and writes the result to the user's cache folder. Exit code.
int RunTune(const TuneOptions& options);

}  // namespace rattn
