#include "harness/bench_output.h"

#include <fmt/format.h>

#include "harness/bench_tilings.h"
#include "harness/crossover.h"
#include "harness/machine.h"
#include "harness/run_json.h"
#include "harness/text_format.h"

namespace rattn {

BenchOutput::BenchOutput(const BenchOutputOptions& options,
                         const std::vector<std::vector<Cell>>& groups)
    : options_(options) {
  if (!options.baseline.empty()) baseline_.emplace(options.baseline);
  if (!options.out.empty()) {
    folder_.emplace(options.out);
    facts_ = {{"schema", kCellSchema}, {"name", "bench"}};
    facts_.update(SessionFacts());
    before_ = folder_->ReadRunJson();
    folder_->WriteRunJson(MergeRunJson(before_, facts_, 0));
  }
  if (!options.json) rows_.emplace(groups, baseline_.has_value());
}

void BenchOutput::Add(const Cell& cell, const CellResult& result) {
  ++ran_;
  failed_ |= result.status == CellStatus::kFailed;
  run_.cells.push_back({cell.id, cell.kind, cell.axes, cell.params, result});
  if (folder_) folder_->Write(cell, result);
  const std::string against = HoldAgainstBaseline(cell, result);
  if (options_.json) {
    cells_.push_back(CellFileJson(cell, result));
    if (!against.empty()) cells_.back()["baseline"] = against;
  } else {
    rows_->Print(cell, result, against);
  }
}

std::string BenchOutput::HoldAgainstBaseline(const Cell& cell,
                                             const CellResult& result) {
  if (!baseline_) return "";
  const auto against = baseline_->Compare(cell, result);
  if (!against) return "-";
  ++compared_;
  slower_ += against->slower;
  return Describe(*against);
}

void BenchOutput::Finish(bool interrupted) {
  if (options_.json) {
    fmt::print("{}\n", cells_.dump(2));
  } else {
    PrintPeaks();
    for (const std::string& line : BestTilings(run_.cells)) {
      fmt::print("{}\n", line);
    }
    PrintCrossovers();
    PrintBaseline();
  }
  if (!folder_) return;
  facts_["finished"] = interrupted ? Json() : Json(UtcNow());
  folder_->WriteRunJson(MergeRunJson(before_, facts_, ran_));
}

// What "of peak" refers to, as last measured.
void BenchOutput::PrintPeaks() const {
  for (auto cell = run_.cells.rbegin(); cell != run_.cells.rend(); ++cell) {
    const Json& detail = cell->result.detail;
    if (!detail.is_object() || !detail.contains("peaks")) continue;
    const Json& peaks = detail["peaks"];
    const std::string whose =
        peaks.contains("of")
            ? "peaks by the data sheet of " + peaks["of"].get<std::string>()
            : fmt::format("peaks around the last row, {} threads",
                          peaks["threads"].get<int>());
    fmt::print("{}: bf16 products {}, fp32 {}, reads {}\n", whose,
               FormatSi(peaks["bf16_flops"], "FLOP/s"),
               FormatSi(peaks["fp32_flops"], "FLOP/s"),
               FormatSi(peaks["read_bandwidth"], "B/s"));
    return;
  }
}

// From where on windows and memories are faster, if contexts were compared.
void BenchOutput::PrintCrossovers() {
  const ReportInput input(std::move(run_));
  for (const Crossover& crossover : FindCrossovers(input)) {
    if (crossover.shortest == crossover.longest) continue;
    fmt::print("{}, {}: {}\n", crossover.phase, crossover.group,
               Describe(input, crossover));
  }
}

void BenchOutput::PrintBaseline() const {
  if (!baseline_) return;
  std::string elsewhere;
  if (const std::string here = CpuName();
      !baseline_->machine().empty() &&
      !baseline_->machine().starts_with(here)) {
    elsewhere =
        fmt::format(" (measured on another machine: {})", baseline_->machine());
  }
  fmt::print("{} of {} rows SLOWER than {} beyond both runs' noise{}\n",
             slower_, compared_, options_.baseline, elsewhere);
}

}  // namespace rattn
