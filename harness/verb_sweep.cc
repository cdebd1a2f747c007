// rattn sweep: runs a plan, resumes it, reports.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "harness/cell_kinds.h"
#include "harness/interrupt.h"
#include "harness/plan_flags.h"
#include "harness/products.h"
#include "harness/report.h"
#include "harness/run_data.h"
#include "harness/run_json.h"
#include "harness/sweep.h"
#include "harness/verb_functions.h"
#include "models/config_files.h"
#include "models/error.h"

namespace rattn {
namespace {

struct SweepVerbOptions {
  PlanFlags plan;
  SweepOptions sweep;
  std::string out;
  bool no_report = false;
  bool json = false;
};

// Runs are shared and committed: what they record must not depend on where the
// program lies.
std::string PortablePath(const std::string& path) {
  const std::filesystem::path folder =
      std::filesystem::path(ConfigsFolder()).parent_path();
  const std::filesystem::path relative =
      std::filesystem::path(path).lexically_relative(folder);
  return relative.empty() || relative.string().starts_with("..")
             ? std::filesystem::path(path).filename().string()
             : relative.string();
}

Json RunJson(const Plan& plan, const SweepVerbOptions& options) {
  Json run = {{"schema", kCellSchema},
              {"name", plan.config.name},
              {"description", plan.config.description},
              {"config_file", PortablePath(plan.origin)},
              {"config", plan.config_json},
              {"set", options.plan.set},
              {"filter", options.plan.filter},
              {"plan", plan.all_ids}};
  run.update(SessionFacts());
  return run;
}

// Another sweep's cells would all be moved aside.
void CheckSameRun(const Json& before, const Plan& plan,
                  const std::string& out) {
  const Json name = before.is_object() ? before.value("name", Json()) : Json();
  if (!name.is_string() || name == plan.config.name) return;
  throw UserError(fmt::format(
      "'{}' holds the run of sweep '{}', not of '{}': choose another folder "
      "with --out",
      out, name.get<std::string>(), plan.config.name));
}

// Whether the report in the folder is about the cells in the folder.
bool IsCurrent(const std::string& out) {
  try {
    const Json report = ReadJsonFile(out + "/report.json");
    return report.at("cells").at("digest") == CellsDigest(LoadRun(out));
  } catch (const std::exception&) {
    return false;
  }
}

// The report's page; made anew if it is missing or about other cells.
std::string MakeReportPage(const SweepOutcome& outcome,
                           const std::string& out) {
  const std::string page = out + "/report.html";
  if (outcome.ran == 0 && std::filesystem::exists(page) && IsCurrent(out)) {
    return page;
  }
  const WrittenReport written = WriteReport(out);
  for (const std::string& notice : written.notices) {
    fmt::print(stderr, "rattn: {}\n", notice);
  }
  return written.html;
}

void PrintOutcome(const Plan& plan, const SweepOutcome& outcome,
                  const std::string& out, const std::string& page) {
  fmt::print(
      "{}: {} cells: {} done, {} skipped, {} failed; {} run now; in {}\n",
      plan.config.name, plan.cells.size(), outcome.done, outcome.skipped,
      outcome.failed, outcome.ran, out);
  for (const std::string& failure : outcome.failures) {
    fmt::print("  failed {}\n", failure);
  }
  if (!page.empty()) fmt::print("report: {}\n", page);
}

void PrintJson(const Plan& plan, const SweepOutcome& outcome,
               const std::string& out, const std::string& page) {
  const Json json = {{"name", plan.config.name},
                     {"folder", out},
                     {"cells", plan.cells.size()},
                     {"done", outcome.done},
                     {"skipped", outcome.skipped},
                     {"failed", outcome.failed},
                     {"run", outcome.ran},
                     {"interrupted", outcome.interrupted},
                     {"failures", outcome.failures},
                     {"report", page.empty() ? Json() : Json(page)}};
  fmt::print("{}\n", json.dump(2));
}

// One clear line in place of a failure of every cell.
void CheckFiles(const Plan& plan) {
  for (const Cell& cell : plan.cells) {
    const CellKind& kind = FindCellKind(cell.kind, "plan");
    if (kind.check != nullptr) kind.check(cell);
  }
}

int RunSweepVerb(SweepVerbOptions options) {
  CatchInterrupts();
  const Plan plan = LoadPlan(options.plan);
  CheckFiles(plan);
  if (options.out.empty()) options.out = "runs/" + plan.config.name;
  options.sweep.products = ProductsFolder();
  MakeWritableFolder(options.sweep.products);
  const RunFolder folder(options.out);
  const Json before = folder.ReadRunJson();
  CheckSameRun(before, plan, options.out);
  folder.KeepOnly(plan.all_ids);
  Json run = RunJson(plan, options);
  folder.WriteRunJson(MergeRunJson(before, run, 0));
  const SweepOutcome outcome = RunSweep(plan, options.sweep, folder);
  run["finished"] = outcome.interrupted ? Json() : Json(UtcNow());
  folder.WriteRunJson(MergeRunJson(before, run, outcome.ran));
  const bool finished = outcome.done + outcome.skipped + outcome.failed > 0;
  const std::string page = options.no_report || outcome.interrupted || !finished
                               ? ""
                               : MakeReportPage(outcome, options.out);
  (options.json ? PrintJson : PrintOutcome)(plan, outcome, options.out, page);
  if (outcome.interrupted) {
    fmt::print(stderr,
               "rattn: interrupted; the same command goes on where it "
               "stopped\n");
  }
  return outcome.interrupted || outcome.failed > 0 ? kExitFailed : kExitDone;
}

}  // namespace

void AddSweep(CLI::App& app, Action* action) {
  auto options = std::make_shared<SweepVerbOptions>();
  AddPlanFlags(app, &options->plan);
  app.add_option("--out", options->out,
                 "folder of the run (default: runs/NAME)");
  app.add_option("--jobs", options->sweep.jobs,
                 "cells at a time, one thread each; timing cells run alone "
                 "(default: number of cores)")
      ->check(kAboveZero);
  app.add_flag("--retry-failed", options->sweep.retry_failed,
               "run failed and skipped cells again");
  app.add_flag("--no-report", options->no_report, "run the cells only");
  app.add_flag("--json", options->json, "machine-readable summary");
  *action = [options] { return RunSweepVerb(*options); };
}

}  // namespace rattn
