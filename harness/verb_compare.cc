// rattn compare: runs of several machines side by side.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "harness/compare.h"
#include "harness/report.h"
#include "harness/verb_functions.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

struct CompareFlags {
  std::vector<std::string> folders;
  std::vector<std::string> peaks;
  std::string out;
  bool json = false;
};

int RunCompare(const CompareFlags& flags) {
  const Comparison comparison = Compare(flags.folders, flags.peaks);
  for (const ComparedRun& run : comparison.runs) {
    for (const std::string& problem : run.input.run.problems) {
      fmt::print(stderr, "rattn: {}: skipped {}\n", run.input.run.name,
                 problem);
    }
  }
  const Json json = ToJson(comparison);
  const Document document = ToDocument(comparison);
  if (flags.json) {
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}", ToMarkdown(document));
  }
  if (flags.out.empty()) return kExitDone;
  const std::string problem =
      WriteDocument(flags.out, "compare", document, json);
  if (!problem.empty()) {
    fmt::print(stderr, "rattn: no pictures: {}\n", problem);
  }
  fmt::print(stderr, "{}\n",
             (std::filesystem::path(flags.out) / "compare.html").string());
  return kExitDone;
}

}  // namespace

void AddCompare(CLI::App& app, Action* action) {
  auto flags = std::make_shared<CompareFlags>();
  app.add_option("folders", flags->folders,
                 "folders of runs, the baseline first")
      ->required();
  app.add_option("--peaks", flags->peaks,
                 "names in configs/hardware or files, one per run")
      ->delimiter(',');
  app.add_option("--out", flags->out,
                 "folder for compare.html, compare.md, compare.json and plots");
  app.add_flag("--json", flags->json, "machine-readable output");
  *action = [flags] { return RunCompare(*flags); };
}

}  // namespace rattn
