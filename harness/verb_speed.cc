// rattn speed: tokens per second of a checkpoint from disk, prompts and
// generation apart, under windows and mixers of choice.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "harness/cell_kinds.h"
#include "harness/flag_grid.h"
#include "harness/interrupt.h"
#include "harness/kinds.h"
#include "harness/machine.h"
#include "harness/products.h"
#include "harness/run_child.h"
#include "harness/run_folder.h"
#include "harness/run_json.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr FieldFlag kFlags[] = {{"--model", "model", true},
                                {"--variant,--mixer", "variant", true},
                                {"--window", "window_keys", true},
                                {"--sinks", "sinks", true},
                                {"--dtype", "dtype", true},
                                {"--backend", "backend", true},
                                {"--threads", "threads", true},
                                {"--layers", "layers"},
                                {"--seed", "seed"},
                                {"--min-samples", "min_samples"},
                                {"--max-samples", "max_samples"},
                                {"--noise", "noise"},
                                {"--max-seconds", "max_seconds"}};

struct SpeedOptions {
  std::unique_ptr<FlagGrid> grid;
  std::vector<int64_t> prompts = {512, 2048}, depths = {1};
  int64_t generate = 128;
  std::string out;
  double time_limit = 600;
  bool json = false;
};

std::vector<Cell> CellsOf(const SpeedOptions& options) {
  std::vector<Cell> cells;
  for (Json& values : options.grid->Combinations()) {
    const auto add = [&](const char* phase, int64_t context, int64_t tokens) {
      values["phase"] = phase;
      values["context"] = context;
      values["new_tokens"] = tokens;
      cells.push_back(BuildCell(CheckpointSpeedCellKind(), values, "speed"));
    };
    for (const int64_t prompt : options.prompts) {
      if (prompt > 0) add("prompt", prompt, 1);
    }
    for (const int64_t depth : options.depths) {
      if (options.generate > 0) add("generate", depth, options.generate);
    }
  }
  if (cells.empty()) {
    throw UserError("nothing to time: give --prompt or --generate");
  }
  for (const Cell& cell : cells) CheckpointSpeedCellKind().check(cell);
  return cells;
}

// "pp512", "tg128 @ 2048": names that users of llama-bench know.
std::string TestName(const Cell& cell) {
  const int64_t context = cell.axes.at("context");
  if (cell.axes.at("phase") == "prompt") return fmt::format("pp{}", context);
  const int64_t tokens = cell.params.at("new_tokens");
  return context == 1 ? fmt::format("tg{}", tokens)
                      : fmt::format("tg{} @ {}", tokens, context);
}

std::string OrDash(const Json& value) {
  return value.is_null() ? "-" : ValueText(value);
}

class SpeedTable {
 public:
  SpeedTable() {
    Print({"model", "variant", "W", "dtype", "backend", "test", "tokens/s",
           "q3-q1", "FLOP/s", "of peak", "read", "of peak", "KV + state",
           "peak memory"});
  }

  static void Print(const Cell& cell, const CellResult& result) {
    const Json& a = cell.axes;
    std::vector<std::string> row = {
        a["model"],
        a["variant"].is_null() ? "own" : a["variant"],
        OrDash(a["window_keys"]),
        a["dtype"],
        a["backend"],
        TestName(cell)};
    if (result.status != CellStatus::kDone) {
      row.emplace_back(Name(result.status));
      Print(row);
      fmt::print("  {}\n", result.reason);
      return;
    }
    const auto share = [&](const char* key) {
      return fmt::format("{:.0f} %", 100 * MetricValue(result, key));
    };
    const double spread =
        (result.stats["q3"].get<double>() - result.stats["q1"].get<double>()) /
        result.stats["median"].get<double>();
    row.insert(row.end(),
               {FormatNumber(MetricValue(result, "throughput")),
                fmt::format("{:.1f} %", 100 * spread),
                FormatSi(MetricValue(result, "executed_flops"), "FLOP/s"),
                share("flops_share"),
                FormatSi(MetricValue(result, "bandwidth"), "B/s"),
                share("bandwidth_share"),
                FormatBytes(MetricValue(result, "kv_bytes") +
                            MetricValue(result, "state_bytes")),
                FormatBytes(result.detail["peak_memory_bytes"].get<double>())});
    Print(row);
  }

 private:
  static void Print(const std::vector<std::string>& row) {
    static constexpr int kWidths[] = {16, 10, 5, 5, 7, 12, 8,
                                      6,  13, 7, 9, 7, 10, 11};
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i == 2 || i > 5 ? fmt::format("{:>{}}  ", row[i], kWidths[i])
                              : fmt::format("{:<{}}  ", row[i], kWidths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
};

int RunSpeed(const SpeedOptions& options) {
  CatchInterrupts();
  const std::vector<Cell> cells = CellsOf(options);
  std::optional<RunFolder> folder;
  Json facts = {{"schema", kCellSchema}, {"name", "speed"}}, before;
  if (!options.out.empty()) {
    folder.emplace(options.out);
    facts.update(SessionFacts());
    before = folder->ReadRunJson();
  }
  std::optional<SpeedTable> table;
  if (!options.json) table.emplace();
  bool failed = false;
  Json all = Json::array();
  for (const Cell& cell : cells) {
    const CellResult result =
        RunInChild(std::span(&cell, 1), ProductsFolder(), options.time_limit)
            .front();
    failed |= result.status == CellStatus::kFailed;
    if (folder) folder->Write(cell, result);
    if (table) table->Print(cell, result);
    all.push_back(CellFileJson(cell, result));
  }
  if (options.json) fmt::print("{}\n", all.dump(2));
  if (folder) {
    facts["finished"] = UtcNow();
    folder->WriteRunJson(
        MergeRunJson(before, facts, static_cast<int64_t>(cells.size())));
  }
  return failed ? kExitFailed : kExitDone;
}

}  // namespace

void AddSpeed(CLI::App& app, Action* action) {
  auto options = std::make_shared<SpeedOptions>();
  options->grid = std::make_unique<FlagGrid>(
      app, CheckpointSpeedCellKind().fields(), kFlags, Json{{"dtype", "bf16"}});
  app.add_option("-p,--prompt", options->prompts,
                 "tokens of prompts to time, a list; 0 = none")
      ->delimiter(',')
      ->check(kAtLeastZero)
      ->capture_default_str();
  app.add_option("-n,--generate", options->generate,
                 "tokens to time the generation of; 0 = none")
      ->check(kAtLeastZero)
      ->capture_default_str();
  app.add_option("-d,--depth", options->depths,
                 "tokens ahead of the generated ones, a list")
      ->delimiter(',')
      ->check(kAboveZero)
      ->capture_default_str();
  app.add_option("--time-limit", options->time_limit, "seconds for one row")
      ->check(kAboveZero)
      ->capture_default_str();
  app.add_option("-o,--out", options->out, "folder to keep the cells in");
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunSpeed(*options); };
}

}  // namespace rattn
