// rattn bench: kernel cells from flags. Each combination of axes runs in a
// child of its own; backends of one combination are timed in turn in it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "harness/cell_kinds.h"
#include "harness/crossover.h"
#include "harness/interrupt.h"
#include "harness/kinds.h"
#include "harness/machine_peaks.h"
#include "harness/products.h"
#include "harness/run_child.h"
#include "harness/run_folder.h"
#include "harness/run_json.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "models/error.h"

namespace rattn {
namespace {

// A flag that sets a field of kernel cells, with a list of values where the
// field is an axis.
struct FieldFlag {
  const char* flag;
  const char* field;
};
constexpr FieldFlag kAxisFlags[] = {{"--variant", "variant"},
                                    {"--window", "window_keys"},
                                    {"--sinks", "sinks"},
                                    {"--context", "context"},
                                    {"--phase", "phase"},
                                    {"--dtype", "dtype"},
                                    {"--batch", "batch"},
                                    {"--heads", "query_heads"},
                                    {"--kv-heads", "kv_heads"},
                                    {"--head-dim", "head_dim"},
                                    {"--threads", "threads"},
                                    {"--chunk", "chunk"},
                                    {"--state-every", "state_every"},
                                    {"--absorb-every", "absorb_every"}};
constexpr FieldFlag kParamFlags[] = {{"--new-tokens", "new_tokens"},
                                     {"--seed", "seed"},
                                     {"--min-samples", "min_samples"},
                                     {"--max-samples", "max_samples"},
                                     {"--noise", "noise"},
                                     {"--max-seconds", "max_seconds"}};

struct BenchOptions {
  std::vector<std::vector<std::string>> axes{std::size(kAxisFlags)};
  std::vector<std::string> params{std::size(kParamFlags)};
  std::vector<std::string> backends = {"cpu"};
  bool cold = false;
  bool rope = false;
  bool separate_keys = false;
  bool no_peaks = false;
  double time_limit = 600;
  std::string out;
  bool json = false;
};

// Values of a cell without its backend, one per combination.
std::vector<Json> Combinations(const BenchOptions& options) {
  Json base = {{"cold", options.cold},
               {"rope", options.rope},
               {"separate_keys", options.separate_keys},
               {"window_keys", 512}};
  for (size_t i = 0; i < std::size(kParamFlags); ++i) {
    if (!options.params[i].empty()) {
      base[kParamFlags[i].field] = ParseValue(options.params[i]);
    }
  }
  std::vector<Json> all = {base};
  for (size_t i = 0; i < std::size(kAxisFlags); ++i) {
    if (options.axes[i].empty()) continue;
    std::vector<Json> next;
    for (const Json& values : all) {
      for (const std::string& text : options.axes[i]) {
        next.push_back(values);
        next.back()[kAxisFlags[i].field] = ParseValue(text);
      }
    }
    all = std::move(next);
  }
  return all;
}

std::vector<std::vector<Cell>> Groups(const BenchOptions& options) {
  std::vector<std::vector<Cell>> groups;
  for (Json& values : Combinations(options)) {
    std::vector<Cell> group;
    for (const std::string& backend : options.backends) {
      values["backend"] = backend;
      group.push_back(BuildCell(KernelCellKind(), values, "bench"));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

std::string ShareText(const CellResult& result, const std::string& key) {
  const double share = MetricValue(result, key);
  return share > 0 ? fmt::format("{:.0f} %", 100 * share) : "-";
}

// "128/4": tokens of a chunk, chunks between kept states. "x8": tokens that a
// state takes in at a time.
std::string TilingText(const Json& params) {
  if (params.at("absorb_every") != 0) {
    return fmt::format("x{}", params.at("absorb_every").get<int64_t>());
  }
  const auto text = [&](const char* key) {
    const int64_t value = params.at(key);
    return value == 0 ? std::string("auto") : fmt::format("{}", value);
  };
  const std::string chunk = text("chunk"), every = text("state_every");
  return chunk == "auto" && every == "auto" ? chunk : chunk + "/" + every;
}

std::vector<std::string> ResultRow(const Cell& cell, const CellResult& result) {
  const Json& axes = cell.axes;
  std::vector<std::string> row = {
      axes["variant"],
      ValueText(axes["window_keys"]),
      axes["phase"],
      ValueText(axes["context"]),
      fmt::format("{}x{}/{}x{}", ValueText(axes["batch"]),
                  ValueText(axes["query_heads"]), ValueText(axes["kv_heads"]),
                  ValueText(axes["head_dim"])),
      axes["dtype"],
      axes["backend"],
      TilingText(cell.params)};
  if (row[1] == "null") row[1] = "-";
  if (result.status != CellStatus::kDone) {
    row.push_back(std::string(Name(result.status)));
    return row;
  }
  const double spread =
      (result.stats["q3"].get<double>() - result.stats["q1"].get<double>()) /
      result.stats["median"].get<double>();
  for (const std::string& text :
       {FormatSi(MetricValue(result, "time"), "s"),
        fmt::format("{:.1f} %", 100 * spread),
        ValueText(result.stats["n"]) + " " +
            ValueText(result.stats["stopped_by"]),
        FormatSi(MetricValue(result, "throughput"), "tok/s"),
        FormatSi(MetricValue(result, "useful_flops"), "FLOP/s"),
        FormatSi(MetricValue(result, "executed_flops"), "FLOP/s"),
        ShareText(result, "flops_share"),
        FormatSi(MetricValue(result, "bandwidth"), "B/s"),
        ShareText(result, "bandwidth_share"),
        FormatBytes(result.detail["peak_memory_bytes"].get<double>()),
        fmt::format("{:.1e}", result.check["worst_error"].get<double>())}) {
    row.push_back(text);
  }
  return row;
}

const std::vector<std::string> kColumns = {
    "variant", "W",          "phase",       "context",  "BxH/KVxD",
    "dtype",   "backend",    "C/m",         "time",     "q3-q1",
    "samples", "throughput", "useful",      "executed", "of peak",
    "bytes",   "of peak",    "peak memory", "error"};
const std::set<size_t> kLeft = {0, 2, 4, 5, 6, 7, 10};

// Rows as they come, under one header: what a bench has measured is on the
// screen whatever ends it.
class RowPrinter {
 public:
  explicit RowPrinter(const std::vector<std::vector<Cell>>& groups) {
    for (const std::string& name : kColumns) {
      widths_.push_back(std::max<size_t>(name.size(), kFigure));
    }
    // What is known of a cell before it has run.
    for (size_t i = 0; i < kKnown; ++i) widths_[i] = kColumns[i].size();
    for (const auto& group : groups) {
      for (const Cell& cell : group) {
        const auto row = ResultRow(cell, CellResult::Skipped(""));
        for (size_t i = 0; i < kKnown; ++i) {
          widths_[i] = std::max(widths_[i], row[i].size());
        }
      }
    }
    Print(kColumns);
  }

  void Print(const Cell& cell, const CellResult& result) const {
    Print(ResultRow(cell, result));
    if (result.status != CellStatus::kDone) {
      fmt::print("  {}\n", result.reason);
    }
    std::fflush(stdout);
  }

 private:
  static constexpr size_t kKnown = 8;
  static constexpr size_t kFigure = 13;  // "1.23 Mtok/s" and some air

  void Print(const std::vector<std::string>& row) const {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += kLeft.contains(i) ? fmt::format("{:<{}}  ", row[i], widths_[i])
                                : fmt::format("{:>{}}  ", row[i], widths_[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }

  std::vector<size_t> widths_;
};

// What becomes of the results: printed as they come, kept, shown as JSON.
class BenchOutput {
 public:
  BenchOutput(const BenchOptions& options,
              const std::vector<std::vector<Cell>>& groups)
      : json_(options.json) {
    if (!options.out.empty()) {
      folder_.emplace(options.out);
      facts_ = {{"schema", kCellSchema}, {"name", "bench"}};
      facts_.update(SessionFacts());
      before_ = folder_->ReadRunJson();
      folder_->WriteRunJson(MergeRunJson(before_, facts_, 0));
    }
    if (!json_) rows_.emplace(groups);
  }

  void Add(const Cell& cell, const CellResult& result) {
    ++ran_;
    failed_ |= result.status == CellStatus::kFailed;
    run_.cells.push_back({cell.id, cell.kind, cell.axes, cell.params, result});
    if (folder_) folder_->Write(cell, result);
    if (json_) {
      cells_.push_back(CellFileJson(cell, result));
    } else {
      rows_->Print(cell, result);
    }
  }

  void Finish(bool interrupted) {
    if (json_) {
      fmt::print("{}\n", cells_.dump(2));
    } else {
      PrintPeaks();
      PrintCrossovers();
    }
    if (!folder_) return;
    facts_["finished"] = interrupted ? Json() : Json(UtcNow());
    folder_->WriteRunJson(MergeRunJson(before_, facts_, ran_));
  }
  bool failed() const { return failed_; }

 private:
  // What "of peak" refers to, as last measured.
  void PrintPeaks() const {
    for (auto cell = run_.cells.rbegin(); cell != run_.cells.rend(); ++cell) {
      const Json& detail = cell->result.detail;
      if (!detail.is_object() || !detail.contains("peaks")) continue;
      const Json& peaks = detail["peaks"];
      fmt::print(
          "peaks around the last row, {} threads: bf16 products {}, fp32 {}, "
          "reads {}\n",
          peaks["threads"].get<int>(), FormatSi(peaks["bf16_flops"], "FLOP/s"),
          FormatSi(peaks["fp32_flops"], "FLOP/s"),
          FormatSi(peaks["read_bandwidth"], "B/s"));
      return;
    }
  }

  // From where on windows and memories are faster, if contexts were compared.
  void PrintCrossovers() {
    const ReportInput input(std::move(run_));
    for (const Crossover& crossover : FindCrossovers(input)) {
      if (crossover.shortest == crossover.longest) continue;
      fmt::print("{}, {}: {}\n", crossover.phase, crossover.group,
                 Describe(input, crossover));
    }
  }

  bool json_;
  bool failed_ = false;
  int64_t ran_ = 0;
  std::optional<RunFolder> folder_;
  std::optional<RowPrinter> rows_;
  Json facts_, before_;
  Json cells_ = Json::array();
  RunData run_;
};

// The machine's peaks before and after a group of cells.
class PeaksAround {
 public:
  PeaksAround(const Cell& cell, bool wanted)
      : threads_(cell.axes.at("threads")), wanted_(wanted) {
    if (wanted_) before_ = MeasurePeaks(threads_);
  }
  void AddTo(const std::vector<Cell>& cells,
             std::vector<CellResult>* results) const {
    if (!wanted_) return;
    const MachinePeaks peaks = Mean(before_, MeasurePeaks(threads_));
    for (size_t i = 0; i < cells.size(); ++i) {
      AddShares(cells[i], peaks, &(*results)[i]);
    }
  }

 private:
  int threads_;
  bool wanted_;
  MachinePeaks before_;
};

int RunBench(const BenchOptions& options) {
  CatchInterrupts();
  const auto groups = Groups(options);
  BenchOutput output(options, groups);
  size_t done = 0;
  try {
    for (; done < groups.size(); ++done) {
      const std::vector<Cell>& group = groups[done];
      PeaksAround peaks(group.front(), !options.no_peaks);
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
  const Fields& fields = KernelCellKind().fields();
  const auto help = [&](const FieldFlag& flag) {
    const Field& field = *FindField(fields, flag.field);
    return fmt::format("{} (default: {})", field.help,
                       std::string(flag.field) == "window_keys"
                           ? "512"
                           : ValueText(field.fallback));
  };
  for (size_t i = 0; i < std::size(kAxisFlags); ++i) {
    app.add_option(kAxisFlags[i].flag, options->axes[i],
                   help(kAxisFlags[i]) + "; a list")
        ->delimiter(',');
  }
  for (size_t i = 0; i < std::size(kParamFlags); ++i) {
    app.add_option(kParamFlags[i].flag, options->params[i],
                   help(kParamFlags[i]));
  }
  app.add_option("--backend", options->backends,
                 "backends, timed in turn; a list")
      ->delimiter(',')
      ->capture_default_str();
  app.add_flag("--cold", options->cold,
               "extend and decode: caches larger than the last-level cache");
  app.add_flag("--rope", options->rope, "rotary positions");
  app.add_flag("--separate-keys", options->separate_keys,
               "keep unrotated keys for the memory beside the rotated ones");
  app.add_flag("--no-peaks", options->no_peaks,
               "do not measure the machine's peaks around each combination");
  app.add_option("--time-limit", options->time_limit,
                 "seconds for one combination")
      ->check(kAboveZero)
      ->capture_default_str();
  app.add_option("--out", options->out, "folder to keep the cells in");
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunBench(*options); };
}

}  // namespace rattn
