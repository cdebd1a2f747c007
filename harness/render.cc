#include "harness/render.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLog = "render.log";
constexpr const char* kBundle = "bundle.js";

// Exit status of the program, output in `log`; throws RunError if it cannot be
// started.
int RunProgram(const std::vector<std::string>& arguments,
               const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int error =
      posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw RunError(fmt::format("{}: {}", argv[0], std::strerror(error)));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string LastLine(const std::string& path) {
  std::string text = ReadTextFile(path);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

// Where set-up puts Python and where the script is: beside the configs.
fs::path Root() { return fs::path(ConfigsFolder()).parent_path(); }

std::string Python() {
  const char* named = std::getenv("RATTN_PYTHON");
  const fs::path path =
      named != nullptr ? fs::path(named) : Root() / ".deps" / "bin" / "python";
  if (!fs::exists(path)) {
    throw RunError(fmt::format(
        "no plot renderer at {}: run scripts/setup, or set RATTN_PYTHON to a "
        "Python that has vl-convert-python",
        path.string()));
  }
  return path;
}

}  // namespace

Rendered RenderPlots(const std::string& folder) {
  Rendered rendered;
  const std::string log = (fs::path(folder) / kLog).string();
  const std::string bundle = (fs::path(folder) / kBundle).string();
  try {
    const int status =
        RunProgram({Python(), (Root() / "scripts" / "render_plots").string(),
                    folder, bundle},
                   log);
    if (status != 0) {
      throw RunError("scripts/render_plots failed: " + LastLine(log));
    }
    rendered.bundle = ReadTextFile(bundle);
  } catch (const std::exception& error) {
    rendered.problem = error.what();
  }
  std::error_code ignored;
  fs::remove(log, ignored);
  fs::remove(bundle, ignored);
  return rendered;
}

}  // namespace rattn
