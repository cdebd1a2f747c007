#include "harness/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "harness/fields.h"
#include "harness/report_text.h"
#include "models/error.h"

namespace rattn {
namespace {

std::optional<Hardware> PeaksOf(const RunData& run) {
  const Json::json_pointer at("/machine/peaks");
  if (!run.facts.is_object() || !run.facts.contains(at) ||
      !run.facts[at].is_object()) {
    return std::nullopt;
  }
  try {
    return ParseHardware(run.facts[at].dump(), "run.json");
  } catch (const UserError&) {
    return std::nullopt;  // facts of another version
  }
}

// Machine names; the run's folder where they do not tell the runs apart.
void LabelRuns(std::vector<ComparedRun>* runs) {
  std::map<std::string, int> machines;
  for (const ComparedRun& run : *runs) ++machines[run.input.machine];
  std::set<std::string> labels;
  for (ComparedRun& run : *runs) {
    run.label = run.input.machine;
    if (machines[run.label] > 1) run.label += " (" + run.input.run.name + ")";
    for (int i = 2; !labels.insert(run.label).second; ++i) {
      run.label =
          fmt::format("{} ({} #{})", run.input.machine, run.input.run.name, i);
    }
  }
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

std::string Cell(const ComparedRow& row, size_t run) {
  const Point* point = row.throughput[run];
  if (point == nullptr) return "-";
  std::string text = FormatSi(point->value, "");
  if (row.percent_of_peak[run]) {
    text += fmt::format(" ({} % of peak)",
                        FormatNumber(*row.percent_of_peak[run], 2));
  }
  if (row.ratio[run]) {
    text += fmt::format(", {}x", FormatNumber(*row.ratio[run], 3));
  }
  if (row.slower[run]) text += " SLOWER";
  return text;
}

std::string AxisText(const Json& axes, const char* axis) {
  const Json value = axes.value(axis, Json());
  return value.is_null() ? "" : ValueText(value);
}

std::string MixerText(const Json& axes) {
  const Json window = axes.value("window_keys", Json());
  const std::string variant = AxisText(axes, "variant");
  return window.is_number() ? fmt::format("{} W={}", variant, window.dump())
                            : variant;
}

TextTable PhaseTable(const Comparison& comparison, const std::string& phase) {
  std::vector<std::string> header = {"mixer", "context", "shape"};
  for (const ComparedRun& run : comparison.runs) header.push_back(run.label);
  TextTable table(header, {0, 2});
  for (const ComparedRow& row : comparison.rows) {
    if (AxisText(row.axes, "phase") != phase) continue;
    std::string shape;
    for (const char* axis : {"backend", "dtype"}) {
      if (!shape.empty()) shape += ", ";
      shape += AxisText(row.axes, axis);
    }
    const Json batch = row.axes.value("batch", Json());
    if (batch.is_number()) shape += ", batch " + batch.dump();
    std::vector<std::string> cells = {
        MixerText(row.axes), row.axes.value("context", Json()).dump(), shape};
    for (size_t i = 0; i < comparison.runs.size(); ++i) {
      cells.push_back(Cell(row, i));
    }
    table.Add(cells);
  }
  return table;
}

// Machines as series: one line per machine, mixers as rows of facets.
std::vector<Plot> PhasePlots(const Comparison& comparison,
                             const std::string& phase) {
  Plot plot;
  std::set<double> contexts;
  for (const ComparedRow& row : comparison.rows) {
    if (AxisText(row.axes, "phase") != phase) continue;
    for (size_t i = 0; i < comparison.runs.size(); ++i) {
      const Point* point = row.throughput[i];
      if (point == nullptr || !point->Number("context")) continue;
      PlotRow mark = RowOf(comparison.runs[i].input, *point);
      mark.series = comparison.runs[i].label;
      mark.x = *point->Number("context");
      mark.row = MixerText(row.axes);
      mark.column = AxisText(row.axes, "backend");
      contexts.insert(mark.x);
      plot.rows.push_back(mark);
    }
  }
  if (contexts.size() < 2) return {};
  plot.name = "compare-" + phase;
  plot.title = fmt::format("Mixer throughput by machine, phase {}", phase);
  plot.caption = "Both axes are logarithmic; bars are quartiles.";
  plot.x = {"context (tokens)", AxisKind::kCounts};
  plot.y = {"throughput (tokens/s)", AxisKind::kLog};
  plot.series_title = "machine";
  return {plot};
}

Section CrossoverSection(const Comparison& comparison) {
  Section section{"Crossover against full attention", {}};
  for (const ComparedRun& run : comparison.runs) {
    Bullets bullets;
    for (const Crossover& crossover : FindCrossovers(run.input)) {
      std::string line = crossover.phase;
      if (!crossover.group.empty()) line += ", " + crossover.group;
      bullets.items.push_back(line + ": " + Describe(run.input, crossover));
    }
    if (bullets.items.empty()) continue;
    const Paragraph label{run.label + ":"};
    section.blocks.push_back(label);
    section.blocks.push_back(bullets);
  }
  return section;
}

}  // namespace

Comparison Compare(const std::vector<std::string>& folders,
                   const std::vector<std::string>& peaks) {
  if (!peaks.empty() && peaks.size() != folders.size()) {
    throw UserError(
        fmt::format("--peaks names {} machines for {} runs; give one per run",
                    peaks.size(), folders.size()));
  }
  Comparison comparison;
  for (size_t i = 0; i < folders.size(); ++i) {
    ReportInput input(LoadRun(folders[i]));
    auto known = peaks.empty() ? PeaksOf(input.run)
                               : std::optional(LoadHardware(peaks[i]));
    comparison.runs.push_back({"", std::move(input), std::move(known)});
  }
  LabelRuns(&comparison.runs);
  comparison.rows = CompareRows(comparison.runs);
  return comparison;
}

Json ToJson(const Comparison& comparison) {
  Json runs = Json::array(), rows = Json::array();
  for (const ComparedRun& run : comparison.runs) {
    Json crossovers = Json::array();
    for (const Crossover& crossover : FindCrossovers(run.input)) {
      crossovers.push_back(ToJson(run.input, crossover));
    }
    runs.push_back({{"label", run.label},
                    {"machine", run.input.machine},
                    {"run", run.input.run.name},
                    {"peaks", run.peaks ? PrintFields(*run.peaks) : Json()},
                    {"crossovers", crossovers},
                    {"unreadable", run.input.run.problems}});
  }
  for (const ComparedRow& row : comparison.rows) {
    Json values = Json::array();
    for (size_t i = 0; i < row.throughput.size(); ++i) {
      const Point* point = row.throughput[i];
      if (point == nullptr) {
        values.push_back(nullptr);
        continue;
      }
      values.push_back({{"backend", point->Text("backend")},
                        {"throughput", point->value},
                        {"low", point->low},
                        {"high", point->high},
                        {"percent_of_peak", OrNull(row.percent_of_peak[i])},
                        {"ratio", OrNull(row.ratio[i])},
                        {"slower_beyond_noise", row.slower[i]},
                        {"cells", point->cells}});
    }
    rows.push_back({{"axes", row.axes}, {"runs", values}});
  }
  return {{"schema", 1}, {"runs", runs}, {"kernels", rows}};
}

Document ToDocument(const Comparison& comparison) {
  Document document;
  document.title = "rattn compare";
  std::vector<std::string> series;
  for (const ComparedRun& run : comparison.runs) {
    if (!document.subtitle.empty()) document.subtitle += "; ";
    document.subtitle += run.label;
    series.push_back(run.label);
  }
  for (const char* phase : {"forward", "train", "extend", "decode"}) {
    Section section{fmt::format("Throughput, phase {}", phase), {}};
    for (const Plot& plot : PhasePlots(comparison, phase)) {
      section.blocks.push_back(Figure{plot.name, plot.title, plot.caption,
                                      ToVegaLite(plot, series)});
    }
    const TextTable table = PhaseTable(comparison, phase);
    if (!table.empty()) section.blocks.push_back(table);
    document.sections.push_back(std::move(section));
  }
  document.sections.push_back(CrossoverSection(comparison));
  document.sections.push_back(
      {"How to read this",
       {Paragraph{"Throughput in tokens/s (medians). A ratio is against the "
                  "first run that has the cell; SLOWER means below it with "
                  "the quartile ranges apart. The share of the peak is that of "
                  "useful FLOP/s, where the machine's peaks are known. A row "
                  "with two backends is the same work on machines that each "
                  "did it with their own."}}});
  return document;
}

}  // namespace rattn
