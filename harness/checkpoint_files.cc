#include "harness/checkpoint_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "harness/file_io.h"
#include "harness/hash.h"
#include "harness/products.h"
#include "harness/run_json.h"
#include "models/error.h"
#include "models/sha256.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

class MappedFile {
 public:
  explicit MappedFile(const fs::path& path) : size_(fs::file_size(path)) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (size_ > 0) {
      data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    if (descriptor >= 0) close(descriptor);
    if (data_ == MAP_FAILED) {
      throw UserError(fmt::format("cannot read '{}'", path.string()));
    }
  }
  ~MappedFile() {
    if (data_ != nullptr) munmap(data_, size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const {
    return {static_cast<const char*>(data_), size_};
  }

 private:
  size_t size_;
  void* data_ = nullptr;
};

// Hashes of one folder's files from earlier runs, with sizes and times.
class HashRecord {
 public:
  explicit HashRecord(const std::string& folder)
      : path_(fmt::format("{}/hashes/{}.json", CacheFolder(),
                          HashText(fs::absolute(folder).string()))) {
    std::error_code none;
    if (!fs::is_regular_file(path_, none)) return;
    try {
      known_ = ReadJsonFile(path_);
    } catch (const UserError&) {
      // A damaged record is written anew.
    }
    if (!known_.is_object()) known_ = Json::object();
  }

  std::string Of(const fs::path& file) {
    const std::string name = file.filename().string();
    Json entry = {
        {"size", fs::file_size(file)},
        {"time", fs::last_write_time(file).time_since_epoch().count()}};
    if (const auto at = known_.find(name); at != known_.end()) {
      entry["sha256"] = at->is_object() ? at->value("sha256", Json()) : Json();
      if (*at == entry && entry["sha256"].is_string()) return entry["sha256"];
    }
    entry["sha256"] = Sha256Hex(MappedFile(file).bytes());
    known_[name] = entry;
    changed_ = true;
    return entry["sha256"];
  }

  void Keep() const {
    if (!changed_) return;
    try {
      MakeWritableFolder(fs::path(path_).parent_path().string());
      WriteFileAtomically(path_, known_.dump(2) + "\n");
    } catch (const std::exception&) {
      // Without a cache the files are read again next time.
    }
  }

 private:
  std::string path_;
  Json known_ = Json::object();
  bool changed_ = false;
};

std::vector<fs::path> WeightFiles(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    throw UserError(
        fmt::format("'{}' has a config.json but no .safetensors file", folder));
  }
  return files;
}

// Of the checkpoint, empty where there is none.
std::string FolderOf(const std::string& name) {
  const auto holds_one = [](const std::string& folder) {
    std::error_code none;
    return fs::is_regular_file(folder + "/config.json", none);
  };
  if (name.empty()) return "";
  if (holds_one(name)) return name;
  const std::string kept = CacheFolder() + "/models/" + name;
  const bool plain = name.find('/') == std::string::npos;
  return plain && holds_one(kept) ? kept : "";
}

// Of the files that the answers come out of. The commit will not do: sources
// change without a build, and builds without a commit.
std::string ProgramHash() {
  const fs::path program = fs::read_symlink("/proc/self/exe");
  std::vector<fs::path> files = {program};
  for (const auto& entry : fs::directory_iterator(program.parent_path())) {
    const fs::path& path = entry.path();
    if (path.filename().string().starts_with("librattn")) files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  HashRecord record(program.parent_path().string());
  std::string hashes;
  for (const fs::path& file : files) hashes += record.Of(file);
  record.Keep();
  return Sha256Hex(hashes);
}

// "torch_dtype", in later files "dtype", of the config or of its language
// model.
std::string StoredDtype(const std::string& folder) {
  const Json config = ReadJsonFile(folder + "/config.json");
  if (!config.is_object()) return "";
  for (const Json& part : {config, config.value("text_config", Json())}) {
    for (const char* key : {"torch_dtype", "dtype"}) {
      if (!part.is_object() || !part.contains(key)) continue;
      if (part[key].is_string()) return part[key];
    }
  }
  return "";
}

}  // namespace

bool IsCheckpoint(const std::string& name) { return !FolderOf(name).empty(); }

std::string FindCheckpoint(const std::string& name) {
  const std::string folder = FolderOf(name);
  if (!folder.empty()) return folder;
  throw UserError(fmt::format(
      "model '{}': no folder with a config.json; scripts/get_models brings "
      "smollm2-135m and gemma3-270m, known by these names",
      name));
}

std::string FindDataFolder(const std::string& given) {
  const char* variable = std::getenv("RATTN_DATA");
  const std::string folder =
      given.empty() && variable != nullptr ? variable : given;
  if (folder.empty()) {
    throw UserError(
        "no data: name the folder of data sets with --data DIR (in sweeps "
        "--set data=DIR) or RATTN_DATA; rattn list text-tasks names their "
        "files");
  }
  std::error_code none;
  if (!fs::is_directory(folder, none)) {
    throw UserError(fmt::format("data folder '{}' does not exist", folder));
  }
  return folder;
}

Json HashCheckpoint(const std::string& folder) {
  HashRecord record(folder);
  std::string weights;
  for (const fs::path& file : WeightFiles(folder)) {
    weights +=
        fmt::format("{} {}\n", file.filename().string(), record.Of(file));
  }
  const std::string config = record.Of(fs::path(folder) / "config.json");
  record.Keep();
  return {{"weights", Sha256Hex(weights)}, {"config", config}};
}

std::string CheckpointDtype(const std::string& name,
                            const std::string& folder) {
  const bool automatic = name == "auto";
  const std::string wanted = automatic ? StoredDtype(folder) : name;
  if (wanted == "bf16" || wanted == "bfloat16") return "bf16";
  if (automatic || wanted == "fp32" || wanted == "float32") return "fp32";
  throw UserError(fmt::format(
      "--dtype {}: known are fp32 (float32), bf16 (bfloat16) and auto, the "
      "checkpoint's own",
      name));
}

Json CheckpointIdentity(const CheckpointSpec& spec,
                        const std::string& tokenizer_fingerprint) {
  Json identity = HashCheckpoint(spec.folder);
  identity["tokenizer"] = tokenizer_fingerprint;
  identity["overrides"] = {{"window_keys", spec.overrides.window_keys},
                           {"variant", spec.overrides.variant},
                           {"sinks", spec.overrides.sinks},
                           {"layers", spec.overrides.layers}};
  identity["dtype"] = spec.execution.dtype;
  identity["backend"] = spec.execution.backend;
  identity["isa"] = MadeBy()["isa"];
  identity["program"] = ProgramHash();
  return identity;
}

std::string ModelKey(const Json& identity) {
  return Sha256Hex(identity.dump());
}

std::string JournalPath(const Json& identity) {
  return fmt::format("{}/answers/{}.jsonl", CacheFolder(),
                     ModelKey(identity).substr(0, 16));
}

}  // namespace rattn
