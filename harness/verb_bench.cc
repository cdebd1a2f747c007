// rattn bench: kernel cells from flags. Each combination of axes runs in a
// child of its own; backends of one combination are timed in turn in it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "harness/bench_output.h"
#include "harness/cell_kinds.h"
#include "harness/flag_grid.h"
#include "harness/interrupt.h"
#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/machine_peaks.h"
#include "harness/products.h"
#include "harness/run_child.h"
#include "harness/tune.h"
#include "harness/verb_functions.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr FieldFlag kFlags[] = {{"--variant", "variant", true},
                                {"--window", "window_keys", true},
                                {"--sinks", "sinks", true},
                                {"--context", "context", true},
                                {"--phase", "phase", true},
                                {"--dtype", "dtype", true},
                                {"--batch", "batch", true},
                                {"--heads", "query_heads", true},
                                {"--kv-heads", "kv_heads", true},
                                {"--head-dim", "head_dim", true},
                                {"--threads", "threads", true},
                                {"--chunk", "chunk", true},
                                {"--state-every", "state_every", true},
                                {"--absorb-every", "absorb_every", true},
                                {"--new-tokens", "new_tokens"},
                                {"--seed", "seed"},
                                {"--min-samples", "min_samples"},
                                {"--max-samples", "max_samples"},
                                {"--noise", "noise"},
                                {"--max-seconds", "max_seconds"}};

struct BenchOptions {
  std::unique_ptr<FlagGrid> grid;
  std::vector<std::string> backends = {"cpu"};
  bool cold = false;
  bool rope = false;
  bool separate_keys = false;
  bool no_peaks = false;
  double time_limit = 600;
  bool tune = false;
  double tune_seconds = 1;
  BenchOutputOptions output;
};

std::vector<std::vector<Cell>> Groups(const BenchOptions& options) {
  std::vector<std::vector<Cell>> groups;
  for (Json& values :
       options.grid->Combinations({{"cold", options.cold},
                                   {"rope", options.rope},
                                   {"separate_keys", options.separate_keys}})) {
    std::vector<Cell> group;
    for (const std::string& backend : options.backends) {
      values["backend"] = backend;
      group.push_back(BuildCell(KernelCellKind(), values, "bench"));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

bool IsOnDevice(const Cell& cell) {
  return RunsOnDevice(cell.axes.at("backend"));
}

// The machine's peaks before and after a group of cells; those of a device are
// known.
class PeaksAround {
 public:
  PeaksAround(const std::vector<Cell>& cells, bool wanted)
      : threads_(cells.front().axes.at("threads")),
        wanted_(wanted),
        measured_(wanted &&
                  !std::all_of(cells.begin(), cells.end(), IsOnDevice)) {
    if (measured_) before_ = MeasurePeaks(threads_);
  }
  void AddTo(const std::vector<Cell>& cells,
             std::vector<CellResult>* results) const {
    if (!wanted_) return;
    MachinePeaks here;
    if (measured_) here = Mean(before_, MeasurePeaks(threads_));
    for (size_t i = 0; i < cells.size(); ++i) {
      CellResult& result = (*results)[i];
      if (result.status != CellStatus::kDone) continue;
      if (!IsOnDevice(cells[i])) {
        AddShares(cells[i], here, &result);
      } else if (const auto peaks =
                     DevicePeaks(result.detail.value("device", ""))) {
        AddShares(cells[i], *peaks, &result);
      }
    }
  }

 private:
  int threads_;
  bool wanted_, measured_;
  MachinePeaks before_;
};

int RunBench(const BenchOptions& options) {
  CatchInterrupts();
  const auto groups = Groups(options);
  BenchOutput output(options.output, groups);
  size_t done = 0;
  try {
    for (; done < groups.size(); ++done) {
      const std::vector<Cell>& group = groups[done];
      PeaksAround peaks(group, !options.no_peaks);
      std::vector<CellResult> ran =
          RunInChild(group, ProductsFolder(), options.time_limit);
      peaks.AddTo(group, &ran);
      for (size_t i = 0; i < group.size(); ++i) output.Add(group[i], ran[i]);
    }
  } catch (const RunError&) {
    if (!Interrupted()) throw;
    fmt::print(stderr, "rattn: interrupted; {} of {} combinations measured\n",
               done, groups.size());
  }
  output.Finish(done < groups.size());
  return output.failed() || done < groups.size() ? kExitFailed : kExitDone;
}

}  // namespace

void AddBench(CLI::App& app, Action* action) {
  auto options = std::make_shared<BenchOptions>();
  options->grid = std::make_unique<FlagGrid>(
      app, KernelCellKind().fields(), kFlags, Json{{"window_keys", 512}});
  app.add_option("--backend", options->backends,
                 "backends, timed in turn; a list")
      ->delimiter(',')
      ->capture_default_str();
  app.add_flag(
      "--cold", options->cold,
      "extend and decode: caches larger than the last-level cache; on "
      "a GPU, any phase: its L2 cache is overwritten before each call");
  app.add_flag("--rope", options->rope, "rotary positions");
  app.add_flag("--separate-keys", options->separate_keys,
               "keep unrotated keys for the memory beside the rotated ones");
  app.add_flag("--no-peaks", options->no_peaks,
               "do not measure the machine's peaks around each combination");
  app.add_option("--time-limit", options->time_limit,
                 "seconds for one combination")
      ->check(kAboveZero)
      ->capture_default_str();
  BenchOutputOptions* output = &options->output;
  app.add_option("--out", output->out, "folder to keep the cells in");
  app.add_flag("--json", output->json, "machine-readable output");
  CLI::Option* baseline = app.add_option(
      "--baseline", output->baseline,
      "folder of an earlier --out: rows that are slower beyond both runs' "
      "quartiles stand out");
  app.add_flag("--fail-slower", output->fail_slower,
               "exit with 1 if a row is slower than the baseline")
      ->needs(baseline);
  app.add_flag("--tune", options->tune,
               "instead: measure which tile sizes suit this machine and keep "
               "them for all verbs");
  app.add_option("--tune-seconds", options->tune_seconds,
                 "of samples, for a candidate on a kernel")
      ->check(kAboveZero)
      ->capture_default_str();
  *action = [options] {
    return options->tune ? RunTune({.max_seconds = options->tune_seconds})
                         : RunBench(*options);
  };
}

}  // namespace rattn
