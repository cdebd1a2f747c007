#include "harness/machine.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "harness/cache_sizes.h"
#include "harness/machine_tiles.h"
#include "harness/process_memory.h"
#include "kernels/cpu/isa.h"
#include "kernels/cuda/cuda_backend.h"
#include "models/source_folder.h"

namespace rattn {
namespace {

// First line of a file of /proc or /sys; empty if there is none.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Values of a key in /proc/cpuinfo, one per processor.
std::vector<std::string> CpuInfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> values;
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name =
        line.substr(0, line.find_last_not_of("\t ", colon - 1) + 1);
    if (name != key) continue;
    const size_t begin = line.find_first_not_of(' ', colon + 1);
    values.push_back(begin == std::string::npos ? "" : line.substr(begin));
  }
  return values;
}

int64_t Distinct(const std::vector<std::string>& values) {
  return static_cast<int64_t>(
      std::set<std::string>(values.begin(), values.end()).size());
}

// Cores are distinct pairs of package and core.
Json Topology() {
  const auto packages = CpuInfo("physical id"), cores = CpuInfo("core id");
  Json topology = {{"threads", sysconf(_SC_NPROCESSORS_ONLN)},
                   {"cores", nullptr},
                   {"sockets", nullptr}};
  if (packages.empty() || packages.size() != cores.size()) return topology;
  std::vector<std::string> pairs;
  for (size_t i = 0; i < cores.size(); ++i) {
    pairs.push_back(packages[i] + "/" + cores[i]);
  }
  topology["cores"] = Distinct(pairs);
  topology["sockets"] = Distinct(packages);
  return topology;
}

Json Caches() {
  constexpr std::array kLevels = {"l1d", "l2", "l3"};
  Json caches = Json::object();
  for (size_t i = 0; i < kLevels.size(); ++i) {
    const int64_t bytes = CachesOfLevel(static_cast<int>(i) + 1).one;
    caches[kLevels[i]] = bytes > 0 ? Json(bytes) : Json();
  }
  return caches;
}

// Instruction sets that matter to the kernels, as the system names them.
Json IsaFlags() {
  constexpr std::array kWanted = {
      "avx2",     "fma",      "f16c",        "avx512f",
      "avx512bw", "avx512vl", "avx512_bf16", "avx512_fp16",
      "avx_vnni", "amx_tile", "amx_bf16",    "amx_int8",
      "asimd",    "bf16",     "sve",         "i8mm"};
  std::vector<std::string> flags = CpuInfo("flags");
  if (flags.empty()) flags = CpuInfo("Features");
  std::istringstream words(flags.empty() ? "" : flags.front());
  const std::set<std::string> have{std::istream_iterator<std::string>(words),
                                   {}};
  Json found = Json::array();
  for (const char* flag : kWanted) {
    if (have.contains(flag)) found.push_back(flag);
  }
  return found;
}

Json Load() {
  double load[3];
  if (getloadavg(load, 3) != 3) return nullptr;
  return {load[0], load[1], load[2]};
}

Json SystemText() {
  utsname system = {};
  if (uname(&system) != 0) return nullptr;
  return fmt::format("{} {} {}", system.sysname, system.release,
                     system.machine);
}

// Standard output of a command; empty if it failed.
std::string CommandOutput(const std::string& command) {
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return "";
  std::string text;
  char block[256];
  while (fgets(block, sizeof(block), pipe) != nullptr) text += block;
  if (pclose(pipe) != 0) return "";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Of the first GPU that the CUDA kernels can use; null without one.
Json GpuFacts() {
  const cuda::GpuReport gpu = cuda::FindGpu("libcuda.so.1");
  if (!gpu.reason.empty()) return nullptr;
  return {{"name", gpu.name},
          {"compute_capability", fmt::format("{}.{}", gpu.major, gpu.minor)},
          {"memory_bytes", gpu.memory_bytes},
          {"cuda_of_driver",
           fmt::format("{}.{}", gpu.driver / 1000, gpu.driver % 1000 / 10)}};
}

Json GitState() {
  const std::filesystem::path source = SourceFolder();
  std::error_code error;
  if (!std::filesystem::exists(source / ".git", error)) return nullptr;
  const std::string git = "git -C '" + source.string() + "' ";
  const std::string commit = CommandOutput(git + "rev-parse HEAD");
  if (commit.empty()) return nullptr;
  const std::string changes =
      CommandOutput(git + "status --porcelain --untracked-files=no");
  return {{"commit", commit}, {"dirty", !changes.empty()}};
}

}  // namespace

std::string CpuName() {
  for (const char* key : {"model name", "Model", "Processor"}) {
    if (const auto names = CpuInfo(key); !names.empty()) return names.front();
  }
  utsname system = {};
  uname(&system);
  return system.machine;
}

int64_t LastLevelCacheBytes() {
  return std::max(
      {CachesOfLevel(2).all, CachesOfLevel(3).all, int64_t{32} << 20});
}

int64_t ColdBytes() {
  const int64_t available = AvailableMemory();
  const int64_t wanted = 16 * LastLevelCacheBytes();
  return available > 0 ? std::min(wanted, available / 4) : wanted;
}

Json MachineFacts() {
  struct sysinfo memory = {};
  sysinfo(&memory);
  const Json topology = Topology();
  const std::string cpu = CpuName();
  const Json gpu = GpuFacts();
  const std::string gpu_name =
      gpu.is_null() ? "" : ", " + gpu["name"].get<std::string>();
  const std::string aslr = FirstLine("/proc/sys/kernel/randomize_va_space");
  Json facts = {{"name", fmt::format("{}, {} threads{}", cpu,
                                     topology["threads"].dump(), gpu_name)},
                {"cpu", cpu}};
  facts.update(topology);
  facts.update(Json{
      {"gpu", gpu},
      {"caches", Caches()},
      {"isa", {{"supported", IsaFlags()}, {"in_use", CpuIsa()}}},
      {"governor",
       TextOrNull(
           FirstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))},
      {"load", Load()},
      {"memory_bytes", memory.totalram * memory.mem_unit},
      {"free_memory_bytes", memory.freeram * memory.mem_unit},
      {"aslr", aslr.empty() ? Json() : Json(aslr != "0")},
      {"system", SystemText()},
      {"tuned_tiles", MachineTilesFacts()}});
  return facts;
}

Json BuildFacts() {
  return {
      {"version", RATTN_VERSION},
      {"compiler", RATTN_COMPILER},
      {"flags", RATTN_COMPILER_FLAGS},
      {"type", RATTN_BUILD_TYPE},
      {"git", GitState()},
      {"libraries",
       {{"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000,
                            FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                      NLOHMANN_JSON_VERSION_MINOR,
                                      NLOHMANN_JSON_VERSION_PATCH)}}}};
}

}  // namespace rattn
