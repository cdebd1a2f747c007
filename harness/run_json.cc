#include "harness/run_json.h"

#include <ctime>
#include <filesystem>
#include <vector>

#include "harness/command_line.h"
#include "harness/machine.h"

namespace rattn {
namespace {

// Runs are shared and committed: what they record must not depend on where the
// program lies.
std::vector<std::string> PortableCommand() {
  std::vector<std::string> words = CommandLine();
  for (std::string& word : words) {
    if (word.starts_with("/")) {
      word = std::filesystem::path(word).filename().string();
    }
  }
  if (!words.empty()) words[0] = "rattn";
  return words;
}

Json At(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  return json.contains(at) ? json[at] : Json();
}

}  // namespace

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

const Json& MadeBy() {
  static const Json made_by = [] {
    const Json build = BuildFacts(), machine = MachineFacts();
    return Json{{"isa", At(machine, "/isa/in_use")},
                {"commit", At(build, "/git/commit")},
                {"dirty", At(build, "/git/dirty")},
                {"version", At(build, "/version")}};
  }();
  return made_by;
}

Json SessionFacts() {
  return {{"started", UtcNow()},
          {"finished", nullptr},
          {"machine", MachineFacts()},
          {"build", BuildFacts()},
          {"argv", PortableCommand()}};
}

Json MergeRunJson(const Json& before, const Json& now, int64_t ran) {
  Json run = now;
  const Json sessions = At(before, "/sessions");
  run["sessions"] = sessions.is_array() ? sessions : Json::array();
  if (ran > 0) {
    run["sessions"].push_back({{"started", now["started"]},
                               {"finished", now["finished"]},
                               {"argv", now["argv"]},
                               {"machine", At(now, "/machine/name")},
                               {"made_by", MadeBy()},
                               {"cells", ran}});
  }
  if (!before.is_object()) return run;
  if (before.contains("started")) run["started"] = before["started"];
  if (ran > 0) return run;
  for (const char* key : {"finished", "machine", "build", "argv"}) {
    if (before.contains(key)) run[key] = before[key];
  }
  return run;
}

}  // namespace rattn
