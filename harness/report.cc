#include "harness/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "harness/crossover.h"
#include "harness/findings.h"
#include "harness/render.h"
#include "harness/report_input.h"
#include "harness/report_plots.h"
#include "harness/report_summary.h"
#include "harness/report_tables.h"
#include "models/atomic_file.h"
#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr int kReportSchema = 1;

struct Counts {
  int64_t done = 0, skipped = 0, failed = 0;
};

Counts CountCells(const RunData& run) {
  Counts counts;
  for (const ReportCell& cell : run.cells) {
    switch (cell.result.status) {
      case CellStatus::kDone:
        ++counts.done;
        break;
      case CellStatus::kSkipped:
        ++counts.skipped;
        break;
      case CellStatus::kFailed:
        ++counts.failed;
        break;
    }
  }
  return counts;
}

template <typename List, typename Function>
Json ListJson(const List& list, Function to_json) {
  Json json = Json::array();
  for (const auto& item : list) json.push_back(to_json(item));
  return json;
}

Json ParetoJson(const ReportInput& input, const ParetoResult& result) {
  return {
      {"task", result.task},
      {"group", result.facet},
      {"cost", result.metric},
      {"cost_unit", result.unit},
      {"cost_better", result.better == Better::kHigher ? "higher" : "lower"},
      {"points", ListJson(result.entries, [&](const auto& entry) -> Json {
         const Point& quality = *entry.quality;
         return {{"variant", input.Series(quality)},
                 {"window_keys", quality.axes.value("window_keys", Json())},
                 {"metric", quality.metric},
                 {"value", quality.value},
                 {"low", quality.low},
                 {"high", quality.high},
                 {"cost", entry.cost},
                 {"cost_low", entry.low},
                 {"cost_high", entry.high},
                 {"on_front", entry.front},
                 {"cells", quality.cells}};
       })}};
}

Json ReportJson(const ReportInput& input, const ReportPlots& plots,
                const std::vector<Finding>& findings) {
  const Counts counts = CountCells(input.run);
  const auto not_done = [&] {
    Json list = Json::array();
    for (const ReportCell& cell : input.run.cells) {
      if (cell.result.status == CellStatus::kDone) continue;
      list.push_back({{"id", cell.id},
                      {"kind", cell.kind},
                      {"axes", cell.axes},
                      {"status", Name(cell.result.status)},
                      {"reason", cell.result.reason}});
    }
    return list;
  };
  return {
      {"schema", kReportSchema},
      {"run", input.run.name},
      {"machine", input.machine},
      {"cells",
       {{"done", counts.done},
        {"skipped", counts.skipped},
        {"failed", counts.failed},
        {"unreadable", input.run.problems.size()},
        {"digest", CellsDigest(input.run)}}},
      {"error_bars", kErrorBars},
      {"notes", input.notes},
      {"findings",
       ListJson(findings, [](const Finding& f) { return ToJson(f); })},
      {"pareto",
       ListJson(plots.pareto,
                [&](const ParetoResult& r) { return ParetoJson(input, r); })},
      {"crossovers",
       ListJson(FindCrossovers(input),
                [&](const Crossover& c) { return ToJson(input, c); })},
      {"points",
       ListJson(input.points, [](const Point& p) { return ToJson(p); })},
      {"not_done", not_done()},
      {"unreadable", input.run.problems},
      {"plots", ListJson(plots.plots, [](const Plot& p) { return p.name; })},
      {"plots_left_out",
       ListJson(plots.missing, [](const MissingPlot& m) -> Json {
         return {{"title", m.title}, {"reason", m.reason}};
       })}};
}

// Findings with the same rule and group stand together under both.
std::vector<Block> FindingBlocks(const std::vector<Finding>& findings) {
  std::vector<Block> blocks;
  std::string heading;
  for (const Finding& finding : findings) {
    const std::string wanted =
        fmt::format("{} ({})", finding.rule, finding.group);
    if (wanted != heading) {
      heading = wanted;
      std::string text = heading + ":";
      text[0] = static_cast<char>(std::toupper(text[0]));
      blocks.push_back(Paragraph{text});
      blocks.push_back(Bullets{});
    }
    std::string mark;
    if (finding.answer == Finding::Answer::kYes) mark = "yes: ";
    if (finding.answer == Finding::Answer::kNo) mark = "no: ";
    std::get<Bullets>(blocks.back()).items.push_back(mark + finding.text);
  }
  return blocks;
}

class PageBuilder {
 public:
  PageBuilder(const ReportInput& input, const ReportPlots& plots,
              const std::vector<Finding>& findings)
      : input_(input), plots_(plots), findings_(findings) {}

  Document Build() {
    const Counts counts = CountCells(input_.run);
    document_.title = fmt::format("rattn report: {}", input_.run.name);
    document_.subtitle = fmt::format(
        "{}. {} cells done, {} skipped, {} failed{}.", input_.machine,
        counts.done, counts.skipped, counts.failed, SeedsText());
    AddSummary();
    document_.sections.push_back({"Findings", FindingBlocks(findings_)});
    for (const std::string& task : input_.Tasks()) AddTask(task);
    AddFigures("Memory", "memory-");
    AddKernels();
    AddFigures("Model throughput", "model-throughput-");
    AddFigures("Predicted step time", "roofline-");
    AddMethod();
    AddTable("Cells that are not done", NotDoneTable(input_.run));
    AddTable("Machine and build", FactsTable(input_.run.facts));
    return std::move(document_);
  }

 private:
  // Figures that belong to no task, by the beginning and end of their names.
  std::vector<Block> Figures(const std::string& prefix,
                             const std::string& suffix = "") const {
    std::vector<Block> blocks;
    for (const Plot& plot : plots_.plots) {
      if (plot.task.empty() && plot.name.starts_with(prefix) &&
          plot.name.ends_with(suffix)) {
        blocks.push_back(FigureOf(plot));
      }
    }
    return blocks;
  }

  Figure FigureOf(const Plot& plot) const {
    return {plot.name, plot.title, plot.caption,
            ToVegaLite(plot, input_.series)};
  }

  void AddFigures(const std::string& title, const std::string& prefix) {
    document_.sections.push_back({title, Figures(prefix)});
  }

  void AddTable(const std::string& title, const TextTable& table) {
    Section section{title, {}};
    if (!table.empty()) section.blocks.push_back(table);
    document_.sections.push_back(std::move(section));
  }

  // "; 2 to 3 seeds per score"
  std::string SeedsText() const {
    int64_t least = 0, most = 0;
    for (const Point& point : input_.points) {
      if (!point.headline) continue;
      least = least == 0 ? point.seeds : std::min(least, point.seeds);
      most = std::max(most, point.seeds);
    }
    if (most == 0) return "";
    const std::string range = least == most ? "" : fmt::format("{} to ", least);
    return fmt::format("; {}{} seed{} per score", range, most,
                       most == 1 ? "" : "s");
  }

  // The answers in one table, and the plot that shows most of them.
  void AddSummary() {
    Section section{"Summary", {}};
    const TextTable table = SummaryTable(input_);
    if (!table.empty()) {
      section.blocks.push_back(Paragraph{
          "The smallest window from which on no measured one is clearly worse "
          "than full attention at the shortest length, with its score, per "
          "task and group:"});
      section.blocks.push_back(table);
    }
    headline_ = HeadlinePlot();
    if (headline_ != nullptr) section.blocks.push_back(FigureOf(*headline_));
    document_.sections.push_back(std::move(section));
  }

  // The quality plot with the most points.
  const Plot* HeadlinePlot() const {
    const Plot* most = nullptr;
    for (const Plot& plot : plots_.plots) {
      if (!plot.name.starts_with("quality-window-")) continue;
      if (most == nullptr || plot.rows.size() > most->rows.size()) most = &plot;
    }
    return most;
  }

  void AddTask(const std::string& task) {
    Section section{"Task " + task, {}};
    for (const Plot& plot : plots_.plots) {
      if (plot.task != task || &plot == headline_) continue;
      section.blocks.push_back(FigureOf(plot));
    }
    for (const TextTable& table : ScoreTables(input_, task)) {
      section.blocks.push_back(table);
    }
    const TextTable lengths = LengthTable(input_, task);
    if (!lengths.empty()) {
      section.blocks.push_back(Paragraph{"By length in tokens:"});
      section.blocks.push_back(lengths);
    }
    document_.sections.push_back(std::move(section));
  }

  void AddKernels() {
    Section section{"Mixer throughput", {}};
    for (const char* phase : {"forward", "train", "extend", "decode"}) {
      const TextTable table = KernelTable(input_, phase);
      if (table.empty()) continue;
      for (Block& figure : Figures("throughput-", phase)) {
        section.blocks.push_back(std::move(figure));
      }
      section.blocks.push_back(
          Paragraph{fmt::format("Phase {}, longest context:", phase)});
      section.blocks.push_back(table);
    }
    document_.sections.push_back(std::move(section));
  }

  void AddMethod() {
    Section section{"How to read this", {}};
    section.blocks.push_back(Paragraph{
        std::string(kErrorBars) +
        " Two points differ \"clearly\" if their bars do not touch. A window "
        "of W keys counts the query's own; the paper's w is W - 1. A pattern "
        "names the layers from the first on, and repeats: L local, G "
        "global."});
    Bullets bullets;
    for (const std::string& note : input_.notes) bullets.items.push_back(note);
    for (const MissingPlot& missing : plots_.missing) {
      bullets.items.push_back(
          fmt::format("Left out: {}: {}.", missing.title, missing.reason));
    }
    for (const std::string& problem : input_.run.problems) {
      bullets.items.push_back("Skipped, unreadable: " + problem);
    }
    if (!bullets.items.empty()) section.blocks.push_back(bullets);
    document_.sections.push_back(std::move(section));
  }

  const ReportInput& input_;
  const ReportPlots& plots_;
  const std::vector<Finding>& findings_;
  const Plot* headline_ = nullptr;  // shown in the summary already
  Document document_;
};

// Writes `text` unless the file holds it already: what has not changed is not
// rendered again.
void WriteIfChanged(const fs::path& path, const std::string& text) {
  std::error_code error;
  if (fs::exists(path, error) && ReadTextFile(path) == text) return;
  const std::string_view piece = text;
  WriteFileAtomically(path, {&piece, 1});
}

void RemoveOtherPlots(const fs::path& folder,
                      const std::vector<const Figure*>& figures) {
  std::set<std::string> keep;
  for (const Figure* figure : figures) {
    keep.insert(figure->name + ".vl.json");
    keep.insert(figure->name + ".svg");
  }
  std::error_code error;
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    const bool ours = name.ends_with(".vl.json") || name.ends_with(".svg");
    if (ours && !keep.contains(name)) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path, error);
}

}  // namespace

Report MakeReport(RunData run) {
  const ReportInput input(std::move(run));
  const ReportPlots plots = BuildPlots(input);
  const std::vector<Finding> findings = FindFindings(input);
  return {ReportJson(input, plots, findings),
          PageBuilder(input, plots, findings).Build()};
}

std::string WriteDocument(const std::string& folder, const std::string& base,
                          const Document& document, const Json& json) {
  const fs::path root(folder), plots = root / "plots";
  std::error_code error;
  fs::create_directories(plots, error);
  if (!fs::is_directory(plots)) {
    throw RunError(
        fmt::format("{}: cannot be made: {}", plots.string(), error.message()));
  }
  const auto figures = FiguresOf(document);
  RemoveOtherPlots(plots, figures);
  for (const Figure* figure : figures) {
    WriteIfChanged(plots / (figure->name + ".vl.json"),
                   figure->spec.dump(1) + "\n");
  }
  WriteIfChanged(root / (base + ".json"), json.dump(2) + "\n");
  WriteIfChanged(root / (base + ".md"), ToMarkdown(document));
  const Rendered rendered = RenderPlots(plots);
  WriteIfChanged(root / (base + ".html"), ToHtml(document, rendered.bundle));
  return rendered.problem;
}

WrittenReport WriteReport(const std::string& folder) {
  RunData run = LoadRun(folder);
  WrittenReport written;
  for (const std::string& problem : run.problems) {
    written.notices.push_back("skipped " + problem);
  }
  const Report report = MakeReport(std::move(run));
  const std::string problem =
      WriteDocument(folder, "report", report.document, report.json);
  if (!problem.empty()) written.notices.push_back("no pictures: " + problem);
  written.html = (fs::path(folder) / "report.html").string();
  return written;
}

}  // namespace rattn
