#include "models/runtime.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "librattn_models.so";
constexpr const char* kEntry = "rattn_model_runtime";
using Entry = const ModelRuntime* (*)();

// Folders that may hold the library: the program's and this library's.
std::vector<fs::path> Candidates() {
  if (const char* path = std::getenv("RATTN_MODELS_LIB")) return {path};
  std::vector<fs::path> paths;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) paths.push_back(program.parent_path() / kLibrary);
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&GetModelRuntime), &info) != 0 &&
      info.dli_fname != nullptr) {
    const fs::path core = fs::absolute(info.dli_fname, error);
    paths.push_back(core.parent_path() / kLibrary);
  }
  return paths;
}

fs::path LibraryPath() {
  const std::vector<fs::path> candidates = Candidates();
  std::error_code error;
  for (const fs::path& path : candidates) {
    if (fs::exists(path, error)) return path;
  }
  throw RunError(fmt::format(
      "{} was not found (looked for {}): build with LibTorch (scripts/setup) "
      "or set RATTN_MODELS_LIB",
      kLibrary, candidates.empty() ? kLibrary : candidates.front().string()));
}

const ModelRuntime& Load() {
  const std::string path = LibraryPath().string();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw RunError(
        fmt::format("the model layer could not be loaded: {}", dlerror()));
  }
  const auto entry = reinterpret_cast<Entry>(dlsym(library, kEntry));
  if (entry == nullptr) {
    throw RunError(
        fmt::format("{} is not rattn's model layer: {}", path, dlerror()));
  }
  return *entry();
}

}  // namespace

const ModelRuntime& GetModelRuntime() {
  static const ModelRuntime& runtime = Load();
  return runtime;
}

}  // namespace rattn
