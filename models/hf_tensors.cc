#include "models/hf_tensors.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::set<std::string> ShardNames(const fs::path& index) {
  const Json json = ReadJsonFile(index.string());
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    throw UserError(
        fmt::format("{} has no object \"weight_map\"", index.string()));
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    // A shard stands beside its index: the file does not say where to look.
    if (name.empty() || fs::path(name).filename() != name || name == "..") {
      throw UserError(
          fmt::format("{}: the file of \"{}\" is not a plain file name",
                      index.string(), tensor));
    }
    names.insert(name);
  }
  return names;
}

}  // namespace

HfTensors::HfTensors(const std::string& folder) : folder_(folder) {
  const fs::path root(folder);
  std::error_code error;
  if (fs::exists(root / kSingle, error)) {
    files_.emplace_back((root / kSingle).string());
    return;
  }
  if (!fs::exists(root / kIndex, error)) {
    throw UserError(
        fmt::format("{} has neither {} nor {}", folder, kSingle, kIndex));
  }
  for (const std::string& name : ShardNames(root / kIndex)) {
    files_.emplace_back((root / name).string());
  }
}

const SafeTensor* HfTensors::Find(const std::string& name) const {
  for (const SafeTensorsFile& file : files_) {
    if (const SafeTensor* tensor = file.Find(name)) return tensor;
  }
  return nullptr;
}

}  // namespace rattn
