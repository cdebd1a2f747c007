// From frozen cells to exact text. To accept a changed report on purpose, run
// `rattn report` on a copy of testdata/run_small and copy report.md and
// report.json to testdata/report_small.
#include "harness/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "harness/compare.h"
#include "harness/crossover.h"
#include "harness/findings.h"
#include "harness/report_plots.h"
#include "harness/report_text.h"
#include "models/error.h"
#include "models/source_folder.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::string TestData(const std::string& name) {
  return SourceFolder() / "harness/testdata" / name;
}

ReportInput SmallInput() { return ReportInput(LoadRun(TestData("run_small"))); }

void WriteCell(const fs::path& run, const std::string& name, const Json& json) {
  fs::create_directories(run / "cells");
  std::ofstream(run / "cells" / (name + ".json")) << json;
}

fs::path FreshFolder(const std::string& name) {
  const fs::path folder = fs::path(testing::TempDir()) / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

Json EvalCell(const std::string& id, const std::string& variant,
              const Json& window, int seed, double value, double error) {
  return {{"id", id},
          {"kind", "eval"},
          {"axes",
           {{"variant", variant},
            {"window_keys", window},
            {"task", "t"},
            {"seed", seed},
            {"length", 64}}},
          {"status", "done"},
          {"metrics",
           {{{"key", "accuracy"},
             {"value", value},
             {"unit", "fraction"},
             {"better", "higher"},
             {"standard_error", error},
             {"chance", 0.25}}}}};
}

TEST(Report, FrozenCellsGiveTheFrozenReport) {
  const Report report = MakeReport(LoadRun(TestData("run_small")));
  EXPECT_EQ(report.json.dump(2) + "\n",
            ReadTextFile(TestData("report_small/report.json")));
  EXPECT_EQ(ToMarkdown(report.document),
            ReadTextFile(TestData("report_small/report.md")));
}

TEST(Report, HtmlLoadsNothingFromTheNetwork) {
  const Report report = MakeReport(LoadRun(TestData("run_small")));
  for (const std::string bundle : {"", "window.vegaEmbed = 0; // </script>"}) {
    const std::string html = ToHtml(report.document, bundle);
    for (const char* load : {"src=\"http", "href=\"http", "src=\"//", "@import",
                             "url(http", "fetch("}) {
      EXPECT_THAT(html, Not(HasSubstr(load)));
    }
    EXPECT_THAT(html, Not(HasSubstr("// </script>")));
    EXPECT_THAT(html, HasSubstr("<h2"));
  }
}

TEST(Report, PlotsHaveUnitsMachineAndCatalogNames) {
  const ReportInput input = SmallInput();
  EXPECT_THAT(input.series, testing::ElementsAre("full", "swa", "rattention"));
  const ReportPlots plots = BuildPlots(input);
  ASSERT_GE(plots.plots.size(), 6u);
  for (const Plot& plot : plots.plots) {
    SCOPED_TRACE(plot.name);
    EXPECT_THAT(plot.subtitle, HasSubstr("Example CPU"));
    EXPECT_NE(plot.x.title, "");
    EXPECT_NE(plot.y.title, "");
    const std::string spec = ToVegaLite(plot, input.series).dump();
    EXPECT_THAT(spec, HasSubstr("\"domain\":[\"full\""));
    EXPECT_THAT(spec, Not(HasSubstr("NaN")));
    for (const PlotRow& row : plot.rows) {
      EXPECT_LE(row.low, row.y);
      EXPECT_GE(row.high, row.y);
      EXPECT_NE(row.cells, "");
    }
  }
}

TEST(Report, ScoreAxesSayUnitAndDirectionOnce) {
  Point point;
  point.metric = "acc";
  point.unit = "fraction";
  point.better = Better::kHigher;
  EXPECT_EQ(ScoreAxis(point).title, "acc (fraction)");
  point.metric = "nll";
  point.unit = "nats";
  point.better = Better::kLower;
  EXPECT_EQ(ScoreAxis(point).title, "nll (nats, lower is better)");
  point.metric = point.unit = "perplexity";
  EXPECT_EQ(ScoreAxis(point).title, "perplexity (lower is better)");
}

TEST(Report, SeedsBecomeBarsAndParetoFrontsAreMarked) {
  const ReportInput input = SmallInput();
  for (const Point* score : input.Scores("two_hop")) {
    EXPECT_EQ(score->seeds, 2);
    EXPECT_EQ(score->Number("length"), 56);
    EXPECT_TRUE(CacheOf(input, *score)->measured);
  }
  const ReportPlots plots = BuildPlots(input);
  ASSERT_EQ(plots.pareto.size(), 2u);
  for (const ParetoResult& pareto : plots.pareto) {
    ASSERT_EQ(pareto.entries.size(), 5u);
    for (const auto& a : pareto.entries) {
      bool beaten = false;
      for (const auto& b : pareto.entries) {
        const bool cheaper =
            pareto.better == Better::kLower ? b.cost < a.cost : b.cost > a.cost;
        beaten |= cheaper && b.quality->value > a.quality->value;
      }
      EXPECT_FALSE(beaten && a.front);
    }
  }
}

std::vector<std::string> Texts(const std::vector<Finding>& findings,
                               const std::string& rule) {
  std::vector<std::string> texts;
  for (const Finding& finding : findings) {
    if (finding.rule == rule) texts.push_back(ToJson(finding).dump());
  }
  return texts;
}

TEST(Report, FindingsFollowTheBars) {
  const fs::path run = FreshFolder("findings_run");
  WriteCell(run, "a", EvalCell("a", "full", nullptr, 0, 0.90, 0.01));
  WriteCell(run, "b", EvalCell("b", "swa", 4, 0, 0.30, 0.01));
  WriteCell(run, "c", EvalCell("c", "swa", 8, 0, 0.60, 0.01));
  WriteCell(run, "d", EvalCell("d", "swa", 16, 0, 0.89, 0.01));
  WriteCell(run, "e", EvalCell("e", "rattention", 4, 0, 0.32, 0.01));
  const auto with = [&] {
    return FindFindings(ReportInput(LoadRun(run.string())));
  };
  constexpr const char* kMemory = "a memory makes up for a small window";
  EXPECT_THAT(Texts(with(), "smallest window that loses nothing"),
              Contains(HasSubstr("swa: W=16")));
  EXPECT_THAT(Texts(with(), "a small window alone loses"),
              Contains(HasSubstr("\"holds\":true")));
  // The bars touch: the report says that the effect is not there.
  EXPECT_THAT(Texts(with(), kMemory),
              Contains(HasSubstr("NOT clearly better")));
  WriteCell(run, "g", EvalCell("g", "rattention", 16, 0, 0.50, 0.01));
  // Not only at the smallest window.
  EXPECT_THAT(Texts(with(), kMemory),
              Contains(HasSubstr("clearly WORSE at W=16 (0.5 [")));
  WriteCell(run, "e", EvalCell("e", "rattention", 4, 0, 0.80, 0.01));
  EXPECT_THAT(Texts(with(), kMemory), Contains(HasSubstr("\"holds\":true")));
  // A second seed widens the bar down to the window's.
  WriteCell(run, "f", EvalCell("f", "rattention", 4, 1, 0.31, 0.01));
  EXPECT_THAT(Texts(with(), kMemory), Contains(HasSubstr("\"holds\":false")));
}

TEST(Report, TheBestLearningRateIsShownAndSaid) {
  const fs::path run = FreshFolder("rates_run");
  for (const auto& [id, lr, value] :
       {std::tuple{"a", 1e-3, 0.4}, {"b", 4e-3, 0.9}, {"c", 8e-3, 0.5}}) {
    Json cell = EvalCell(id, "swa", 4, 0, value, 0.01);
    cell["axes"]["lr"] = lr;
    WriteCell(run, id, cell);
  }
  const ReportInput input(LoadRun(run.string()));
  ASSERT_EQ(input.points.size(), 1u);
  EXPECT_EQ(input.points[0].value, 0.9);
  EXPECT_THAT(input.notes, Contains(HasSubstr("best of 3 learning rates")));
}

TEST(Report, MalformedAndStrangeFilesAreNamedAndSkipped) {
  const RunData run = LoadRun(TestData("run_small"));
  EXPECT_EQ(run.problems.size(), 2u);
  EXPECT_THAT(run.problems, Contains(HasSubstr("cells/broken.json")));
  EXPECT_THAT(run.problems, Contains(HasSubstr("cells/wrong.json")));

  const fs::path strange = FreshFolder("strange_run");
  WriteCell(strange, "good", EvalCell("g", "swa", 4, 0, 0.5, 0.1));
  WriteCell(strange, "list", Json::array());
  WriteCell(strange, "axes", {{"id", "x"}, {"kind", "eval"}, {"axes", 7}});
  WriteCell(strange, "status",
            {{"id", "x"},
             {"kind", "eval"},
             {"axes", Json::object()},
             {"status", "perhaps"}});
  Json wild =
      EvalCell("<script>alert(1)</script>", "<b>x</b>", "wide", 0, 0.5, 0.1);
  wild["axes"]["pattern"] = Json::array({1, "a|b"});
  WriteCell(strange, "wild", wild);
  const RunData data = LoadRun(strange.string());
  EXPECT_EQ(data.problems.size(), 4u);  // and run.json is missing
  EXPECT_EQ(data.cells.size(), 2u);
  const std::string html = ToHtml(MakeReport(data).document, "");
  EXPECT_THAT(html, Not(HasSubstr("<b>x</b>")));
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THROW(LoadRun(testing::TempDir() + "/no_such_run"), UserError);
  EXPECT_THROW(LoadRun(FreshFolder("empty_run").string()), UserError);
}

TEST(Report, WrittenReportIsCompleteAndTheSameAgain) {
  const fs::path run = FreshFolder("written_run");
  fs::copy(TestData("run_small"), run,
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  setenv("RATTN_PYTHON", "/no/such/python", 1);
  fs::create_directories(run / "plots");
  std::ofstream(run / "plots" / "stale.svg") << "old";
  const WrittenReport written = WriteReport(run.string());
  EXPECT_THAT(written.notices, Contains(HasSubstr("no pictures")));
  const std::string html = ReadTextFile(written.html);
  EXPECT_FALSE(fs::exists(run / "plots" / "stale.svg"));
  EXPECT_TRUE(fs::exists(run / "plots" / "quality-window-two_hop.vl.json"));
  WriteReport(run.string());
  EXPECT_EQ(ReadTextFile(written.html), html);
  unsetenv("RATTN_PYTHON");
}

Json KernelCell(const std::string& variant, const Json& window, int64_t context,
                double throughput, double noise) {
  const double median = 1 / throughput;
  return {{"id", variant + std::to_string(context)},
          {"kind", "kernel"},
          {"axes",
           {{"variant", variant},
            {"window_keys", window},
            {"phase", "forward"},
            {"context", context},
            {"dtype", "bf16"},
            {"backend", "cpu"},
            {"threads", 2}}},
          {"status", "done"},
          {"metrics",
           {{{"key", "throughput"},
             {"value", throughput},
             {"unit", "tokens/s"},
             {"better", "higher"}},
            {{"key", "useful_flops"},
             {"value", throughput * 10},
             {"unit", "FLOP/s"},
             {"better", "higher"}}}},
          {"stats",
           {{"n", 9},
            {"median", median},
            {"q1", median * (1 - noise)},
            {"q3", median * (1 + noise)}}}};
}

TEST(Report, CrossoverIsWhereTheCurvesMeet) {
  const fs::path run = FreshFolder("crossover_run");
  // full falls as 1/T, swa is flat: they meet at T = 2000.
  for (const int64_t context : {1000, 4000}) {
    const double rate = 2e6 / static_cast<double>(context);
    WriteCell(run, "f" + std::to_string(context),
              KernelCell("full", nullptr, context, rate, 0.01));
    WriteCell(run, "s" + std::to_string(context),
              KernelCell("swa", 64, context, 1000, 0.01));
  }
  const ReportInput input(LoadRun(run.string()));
  const auto crossovers = FindCrossovers(input);
  ASSERT_EQ(crossovers.size(), 1u);
  EXPECT_NEAR(*crossovers[0].context, 2000, 1);
  EXPECT_FALSE(crossovers[0].always);
}

TEST(Compare, RatiosMarksAndPeaks) {
  const fs::path a = FreshFolder("machine_a"), b = FreshFolder("machine_b");
  for (const fs::path& run : {a, b}) {
    std::ofstream(run / "run.json")
        << Json{{"machine", {{"name", run.filename().string()}}}};
  }
  WriteCell(a, "1", KernelCell("swa", 64, 1000, 1000, 0.02));
  WriteCell(a, "2", KernelCell("swa", 64, 2000, 1000, 0.02));
  WriteCell(b, "1", KernelCell("swa", 64, 1000, 500, 0.02));
  WriteCell(b, "2", KernelCell("swa", 64, 2000, 990, 0.02));
  const Json json = ToJson(Compare({a.string(), b.string()}, {}));
  const Json& far = json["kernels"][0]["runs"][1];
  EXPECT_EQ(far["ratio"], 0.5);
  EXPECT_EQ(far["slower_beyond_noise"], true);
  EXPECT_EQ(far["percent_of_peak"], nullptr);
  EXPECT_EQ(json["kernels"][1]["runs"][1]["slower_beyond_noise"], false);

  const Comparison peaks =
      Compare({a.string(), b.string()}, {"h100-sxm", "a100-80gb"});
  EXPECT_DOUBLE_EQ(*peaks.rows[0].percent_of_peak[0], 100 * 1e4 / 989e12);
  EXPECT_DOUBLE_EQ(*peaks.rows[0].percent_of_peak[1], 100 * 5e3 / 312e12);
  const std::string text = ToMarkdown(ToDocument(peaks));
  EXPECT_THAT(text, HasSubstr("machine_a"));
  EXPECT_THAT(text, HasSubstr("SLOWER"));
  EXPECT_THROW(Compare({a.string(), b.string()}, {"h100-sxm"}), UserError);
  EXPECT_THROW(Compare({a.string(), "no_such_run"}, {}), UserError);
}

}  // namespace
}  // namespace rattn
