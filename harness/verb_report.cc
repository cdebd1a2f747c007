// rattn report: makes the report of a finished or stopped sweep.
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>
#include <memory>

#include "harness/report.h"
#include "harness/verb_functions.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {
namespace {

struct ReportFlags {
  std::string folder;
  std::string open = "auto";
};

// The user's browser, if there is a screen; its failure is no failure of ours.
void OpenPage(const std::string& html) {
  const std::string browser = "xdg-open";
  const pid_t child = fork();
  if (child == 0) {
    execlp(browser.c_str(), browser.c_str(), html.c_str(), nullptr);
    _exit(127);
  }
}

bool WantsPage(const std::string& open) {
  if (open != "auto") return open == "yes";
  return isatty(STDOUT_FILENO) != 0 && std::getenv("DISPLAY") != nullptr;
}

int RunReport(const ReportFlags& flags) {
  const std::vector<std::string> choices = {"auto", "yes", "no"};
  if (std::find(choices.begin(), choices.end(), flags.open) == choices.end()) {
    throw UserError(fmt::format("--open \"{}\"{}", flags.open,
                                NearestHint(flags.open, choices)));
  }
  const WrittenReport written = WriteReport(flags.folder);
  for (const std::string& notice : written.notices) {
    fmt::print(stderr, "rattn: {}\n", notice);
  }
  fmt::print("{}\n", written.html);
  if (WantsPage(flags.open)) OpenPage(written.html);
  return kExitDone;
}

}  // namespace

void AddReport(CLI::App& app, Action* action) {
  auto flags = std::make_shared<ReportFlags>();
  app.add_option("folder", flags->folder, "folder of a run")->required();
  app.add_option("--open", flags->open,
                 "show the page in a browser: auto (if there is a screen), yes "
                 "or no")
      ->capture_default_str();
  *action = [flags] { return RunReport(*flags); };
}

}  // namespace rattn
