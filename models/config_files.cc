#include "models/config_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "kernels/nearest_name.h"
#include "models/error.h"
#include "models/source_folder.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

bool IsConfigs(const fs::path& folder) {
  std::error_code error;
  return fs::is_directory(folder / "models", error);
}

}  // namespace

std::string ConfigsFolder() {
  if (const char* named = std::getenv("RATTN_CONFIGS")) {
    if (IsConfigs(named)) return named;
    throw UserError(fmt::format(
        "RATTN_CONFIGS={}: no such folder with a folder models in it", named));
  }
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int up = 0; up < 5 && !folder.empty(); ++up) {
    if (IsConfigs(folder / "configs")) return folder / "configs";
    folder = folder.parent_path();
  }
  const fs::path source = SourceFolder() / "configs";
  if (IsConfigs(source)) return source;
  throw UserError(
      "no configs folder found: set RATTN_CONFIGS to the configs folder of the "
      "source tree");
}

std::vector<std::string> ListConfigs(const std::string& kind) {
  std::vector<std::string> names;
  std::error_code error;
  const fs::path folder = fs::path(ConfigsFolder()) / kind;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") {
      names.push_back(entry.path().stem());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string FindConfig(const std::string& kind,
                       const std::string& name_or_path) {
  const bool is_path = name_or_path.find('/') != std::string::npos ||
                       name_or_path.ends_with(".json");
  if (is_path) {
    std::error_code error;
    if (fs::exists(name_or_path, error)) return name_or_path;
    throw UserError(fmt::format("{}: no such file", name_or_path));
  }
  const std::vector<std::string> names = ListConfigs(kind);
  if (std::find(names.begin(), names.end(), name_or_path) == names.end()) {
    throw UserError(fmt::format("\"{}\": no such config in configs/{}{}",
                                name_or_path, kind,
                                NearestHint(name_or_path, names)));
  }
  return fs::path(ConfigsFolder()) / kind / (name_or_path + ".json");
}

}  // namespace rattn
