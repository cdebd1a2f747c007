#include "harness/tune.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "harness/kernel_call.h"
#include "harness/kernel_check.h"
#include "harness/machine_tiles.h"
#include "harness/mixer_fields.h"
#include "harness/text_format.h"
#include "harness/verbs.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "models/error.h"

namespace rattn {
namespace {

struct TuneKernel {
  const char* variant;
  int64_t window_keys;  // 0 where the variant takes none
  Phase phase;
  int64_t tokens;
};

// One size: what it may be, the default among it, and the kernels that it
// matters to.
struct TuneSize {
  TilePath path;
  const char* name;
  int64_t TileSizes::*size;
  std::vector<int64_t> candidates;
  std::vector<TuneKernel> kernels;
};

const std::vector<TuneSize>& Sizes() {
  using enum Phase;
  static const std::vector<TuneSize> sizes = {
      {TilePath::kTiles,
       "forward_rows",
       &TileSizes::forward_rows,
       {64, 128, 256, 512},
       {{"full", 0, kForward, 4096},
        {"swa", 512, kForward, 8192},
        {"rattention", 512, kForward, 8192}}},
      {TilePath::kTiles,
       "backward_rows",
       &TileSizes::backward_rows,
       {64, 128, 256, 512},
       {{"full", 0, kTrain, 2048}, {"swa", 512, kTrain, 4096}}},
      {TilePath::kTiles,
       "chunk",
       &TileSizes::chunk,
       {64, 128, 192, 256},
       {{"rla", 512, kTrain, 4096}, {"rattention", 512, kForward, 8192}}},
      {TilePath::kTiles,
       "state_every",
       &TileSizes::state_every,
       {1, 2, 4, 8},
       {{"rla", 512, kTrain, 8192}}},
      {TilePath::kVectors,
       "forward_rows",
       &TileSizes::forward_rows,
       {32, 64, 128},
       {{"full", 0, kForward, 2048}, {"swa", 512, kForward, 4096}}},
      {TilePath::kVectors,
       "backward_rows",
       &TileSizes::backward_rows,
       {32, 64, 128},
       {{"swa", 512, kTrain, 2048}}},
      {TilePath::kVectors,
       "chunk",
       &TileSizes::chunk,
       {32, 64, 128},
       {{"rla", 512, kTrain, 4096}}},
      {TilePath::kVectors,
       "state_every",
       &TileSizes::state_every,
       {1, 2, 4, 8},
       {{"rla", 512, kTrain, 4096}}},
  };
  return sizes;
}

KernelCase CaseOf(const TuneKernel& kernel, TilePath path, int threads) {
  KernelCase result;
  Problem& p = result.problem;
  Json mixer = {{"variant", kernel.variant},
                {"window_keys", kernel.window_keys},
                {"sinks", nullptr}};
  NormalizeMixer(mixer, "tune");
  p.spec = MixerOf(mixer, "tune");
  p.phase = kernel.phase;
  p.dtype = path == TilePath::kTiles ? Dtype::kBF16 : Dtype::kF32;
  p.shape = {1, 16, 4, kernel.tokens, kernel.tokens, 128, 128};
  p.threads = threads;
  return result;
}

TileSizes& OfPath(TilePath path, MachineTileSizes* sizes) {
  return path == TilePath::kTiles ? sizes->tiles : sizes->vectors;
}

// A kernel with sizes of its own: they count while its workspace is made, and
// in every call.
class TunedCall {
 public:
  TunedCall(const KernelCase& kernel, const KernelInputs& inputs,
            const MachineTileSizes& sizes)
      : sizes_(sizes) {
    UseMachineTileSizes(sizes_);
    call_ = std::make_unique<KernelCall>(kernel, *CpuBackend(), inputs);
    const KernelCheck check =
        CheckKernel(kernel, *CpuBackend(), inputs, call_.get());
    if (!check.ok()) {
      throw RunError(fmt::format(
          "tile sizes not tuned: {} is wrong, relative RMSE {:.3g} above the "
          "limit {:.3g}",
          check.worst_tensor, check.worst_error, check.limit));
    }
  }
  void Run() const {
    UseMachineTileSizes(sizes_);
    call_->Run();
  }

 private:
  const MachineTileSizes sizes_;
  std::unique_ptr<KernelCall> call_;
};

// Times of one kernel, per candidate.
std::vector<Summary> Measure(const TuneSize& size, const TuneKernel& kernel,
                             const MachineTileSizes& in_use,
                             const TuneOptions& options) {
  const KernelCase tested = CaseOf(kernel, size.path, options.threads);
  const KernelInputs inputs(tested);
  std::vector<std::unique_ptr<TunedCall>> calls;
  std::vector<Contender> contenders;
  for (const int64_t candidate : size.candidates) {
    MachineTileSizes sizes = in_use;
    OfPath(size.path, &sizes).*size.size = candidate;
    calls.push_back(std::make_unique<TunedCall>(tested, inputs, sizes));
    contenders.push_back({fmt::format("{}", candidate),
                          [call = calls.back().get()] { call->Run(); }});
  }
  StopRule rule;
  rule.max_seconds = options.max_seconds;
  std::vector<Summary> summaries;
  for (const Samples& samples : MeasureInterleaved(contenders, rule)) {
    summaries.push_back(Summarize(samples.seconds));
  }
  return summaries;
}

std::string KernelText(const TuneKernel& kernel) {
  return fmt::format(
      "{}{} {} T {}", kernel.variant,
      kernel.window_keys > 0 ? fmt::format(" W={}", kernel.window_keys) : "",
      kernel.phase == Phase::kTrain ? "train" : "forward", kernel.tokens);
}

void PrintCandidate(const TuneSize& size, int64_t candidate,
                    const std::vector<Summary>& times, const TuneScore& score,
                    const char* verdict) {
  fmt::print("  {:>5}", candidate);
  for (size_t i = 0; i < times.size(); ++i) {
    fmt::print("  {}: {} ({:.1f} %)", KernelText(size.kernels[i]),
               FormatSi(times[i].median, "s"),
               100 * (times[i].q3 - times[i].q1) / times[i].median);
  }
  fmt::print("  {:.3f}x{}\n", score.gain, verdict);
  std::fflush(stdout);
}

// The candidate to keep; `current` where none clearly wins.
int64_t TuneOne(const TuneSize& size, int64_t current,
                const MachineTileSizes& in_use, const TuneOptions& options) {
  fmt::print("{} on {} (in use: {}; median and quartile range):\n", size.name,
             size.path == TilePath::kTiles ? "bf16 tiles" : "vectors", current);
  const size_t n = size.candidates.size();
  std::vector<std::vector<Summary>> times(n);  // [candidate][kernel]
  for (const TuneKernel& kernel : size.kernels) {
    const auto measured = Measure(size, kernel, in_use, options);
    for (size_t i = 0; i < n; ++i) times[i].push_back(measured[i]);
  }
  const auto& now = times[static_cast<size_t>(
      std::find(size.candidates.begin(), size.candidates.end(), current) -
      size.candidates.begin())];
  int64_t best = current;
  double best_gain = kLeastGain;
  std::vector<TuneScore> scores;
  for (size_t i = 0; i < n; ++i) {
    scores.push_back(Score(now, times[i]));
    if (scores[i].clearly && scores[i].gain > best_gain) {
      best = size.candidates[i];
      best_gain = scores[i].gain;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    const bool kept = size.candidates[i] == best;
    PrintCandidate(size, size.candidates[i], times[i], scores[i],
                   !kept             ? ""
                   : best == current ? "  stays"
                                     : "  WINS");
  }
  return best;
}

}  // namespace

TuneScore Score(const std::vector<Summary>& in_use,
                const std::vector<Summary>& candidate) {
  TuneScore score;
  double logs = 0;
  bool faster = false, slower = false, enough = true;
  for (size_t i = 0; i < in_use.size(); ++i) {
    logs += std::log(in_use[i].median / candidate[i].median);
    faster |= candidate[i].q3 < in_use[i].q1;
    slower |= candidate[i].q1 > in_use[i].q3;
    enough &= std::min(in_use[i].n, candidate[i].n) >= kLeastSamples;
  }
  score.gain = std::exp(logs / static_cast<double>(in_use.size()));
  score.clearly = enough && faster && !slower;
  return score;
}

MachineTileSizes Tune(const TuneOptions& asked) {
  TuneOptions options = asked;
  if (options.threads == 0) options.threads = omp_get_num_procs();
  MachineTileSizes sizes;
  for (const TuneSize& size : Sizes()) {
    if (size.path == TilePath::kTiles && !TilesOn()) continue;
    UseMachineTileSizes(sizes);
    const Problem problem =
        CaseOf(size.kernels.front(), size.path, options.threads).problem;
    const int64_t current = TileSizesOf(size.path, problem).*size.size;
    const int64_t best = TuneOne(size, current, sizes, options);
    if (best != current) OfPath(size.path, &sizes).*size.size = best;
  }
  UseMachineTileSizes(sizes);
  return sizes;
}

int RunTune(const TuneOptions& options) {
  TunedMachine machine = ThisMachine();
  const std::string path = MachineTilesPath(machine);
  fmt::print("tile sizes of {}, {}, {} threads; B 1, Hq 16, Hkv 4, D 128\n",
             machine.cpu, machine.isa, machine.threads);
  machine.sizes = Tune(options);
  WriteMachineTiles(path, machine);
  fmt::print("{}; kept in {}\n",
             machine.sizes == MachineTileSizes{}
                 ? "the defaults stay"
                 : "changed: " + MachineTilesFacts().dump(),
             path);
  return kExitDone;
}

}  // namespace rattn
