// rattn doctor: what this machine is, what works on it, how fast it can be.
#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "harness/cache_sizes.h"
#include "harness/file_io.h"
#include "harness/hardware.h"
#include "harness/machine.h"
#include "harness/products.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/peaks.h"
#include "models/config_files.h"
#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

struct DoctorOptions {
  bool peaks = false;
  bool json = false;
  std::string data, write;
};

Json BackendFacts() {
  Json facts = Json::array();
  for (const BackendEntry& entry : BackendList()) {
    std::string reason;
    const Backend* backend = entry.get(&reason);
    facts.push_back(
        {{"name", entry.name},
         {"usable", backend != nullptr},
         {"state", backend != nullptr ? backend->description() : reason}});
  }
  return facts;
}

// What the environment says about threads.
Json ThreadFacts() {
  Json facts = {{"processors", omp_get_num_procs()}};
  for (const char* name : {"OMP_NUM_THREADS", "OMP_PROC_BIND",
                           "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) {
    if (const char* value = std::getenv(name)) facts[name] = value;
  }
  return facts;
}

// Files and bytes of the entries of a data folder.
Json DataFacts(const std::string& folder) {
  if (folder.empty()) return nullptr;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw UserError(fmt::format("--data '{}': no such folder", folder));
  }
  Json entries = Json::array();
  for (const auto& entry : fs::directory_iterator(folder)) {
    uintmax_t files = 0, bytes = 0;
    const auto count = [&](const fs::directory_entry& file) {
      if (!file.is_regular_file(error)) return;
      ++files;
      bytes += file.file_size(error);
    };
    count(entry);
    if (entry.is_directory(error)) {
      for (const auto& file : fs::recursive_directory_iterator(entry.path())) {
        count(file);
      }
    }
    entries.push_back({{"name", entry.path().filename().string()},
                       {"files", files},
                       {"bytes", bytes}});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Json& a, const Json& b) { return a["name"] < b["name"]; });
  return {{"folder", folder}, {"entries", entries}};
}

constexpr double kPeakSeconds = 0.5;

Json PeaksOf(int threads, int64_t near_bytes, int64_t far_bytes) {
  return {{"threads", threads},
          {"fp32_flops", PeakFp32Flops(threads, kPeakSeconds)},
          {"bf16_flops", PeakBf16Flops(threads, kPeakSeconds)},
          {"exps", PeakExps(threads, kPeakSeconds)},
          {"read_l2", PeakReadBandwidth(near_bytes, threads, kPeakSeconds)},
          {"read_memory",
           PeakReadBandwidth(far_bytes / threads, threads, kPeakSeconds)}};
}

// Half of L2 stays in it.
Json PeakFacts() {
  const int64_t l2 = std::max(CachesOfLevel(2).one, int64_t{1} << 18);
  const int threads = omp_get_num_procs();
  Json peaks = Json::array();
  peaks.push_back(PeaksOf(1, l2 / 2, ColdBytes()));
  if (threads > 1) peaks.push_back(PeaksOf(threads, l2 / 2, ColdBytes()));
  return peaks;
}

Hardware HardwareOf(const Json& machine, const Json& peaks) {
  const Json& all = peaks.back();
  Hardware hardware;
  hardware.name = machine["name"];
  hardware.source = fmt::format(
      "measured by rattn doctor --peaks with {} threads: products from "
      "registers, reads of sixteen times the last-level cache",
      all["threads"].get<int>());
  hardware.fp32_flops = all["fp32_flops"].get<double>();
  const double bf16 = all["bf16_flops"];
  // Without bf16 instructions bf16 data run at the fp32 rate.
  hardware.bf16_flops = bf16 > 0 ? bf16 : *hardware.fp32_flops;
  hardware.memory_bandwidth = all["read_memory"];
  hardware.memory_bytes = machine["memory_bytes"];
  return hardware;
}

std::string ValueLine(const Json& value) {
  if (value.is_null()) return "unknown";
  if (value.is_string()) return value;
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array() || value.is_object()) {
    std::string text;
    for (const auto& [key, item] : value.items()) {
      if (item.is_null()) continue;
      if (!text.empty()) text += ", ";
      text += value.is_object() ? key + " " + ValueLine(item) : ValueLine(item);
    }
    return text;
  }
  return value.is_number_float() ? FormatNumber(value) : value.dump();
}

void PrintSection(const char* title, const Json& section) {
  fmt::print("{}\n", title);
  for (const auto& [key, value] : section.items()) {
    const bool bytes = key.ends_with("bytes") && value.is_number();
    const bool sizes = key == "caches";
    std::string text = bytes ? FormatBytes(value) : ValueLine(value);
    if (sizes) {
      text.clear();
      for (const auto& [level, size] : value.items()) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", level,
                            size.is_null() ? "unknown" : FormatBytes(size));
      }
    }
    fmt::print("  {:<18}{}\n", key, text);
  }
}

void PrintPeaks(const Json& peaks) {
  TextTable table({"threads", "fp32", "bf16", "exp", "read L2", "read memory"},
                  {});
  for (const Json& p : peaks) {
    table.Add({p["threads"].dump(), FormatSi(p["fp32_flops"], "FLOP/s"),
               p["bf16_flops"] == 0.0 ? "no instructions"
                                      : FormatSi(p["bf16_flops"], "FLOP/s"),
               FormatSi(p["exps"], "/s"), FormatSi(p["read_l2"], "B/s"),
               FormatSi(p["read_memory"], "B/s")});
  }
  fmt::print("peaks\n{}", table.Plain());
}

void PrintText(const Json& facts) {
  PrintSection("machine", facts["machine"]);
  PrintSection("build", facts["build"]);
  PrintSection("threads", facts["threads"]);
  std::fflush(stdout);
  fmt::print("backends\n");
  for (const Json& backend : facts["backends"]) {
    fmt::print("  {:<18}{}{}\n", backend["name"].get<std::string>(),
               backend["usable"] == true ? "" : "not usable: ",
               backend["state"].get<std::string>());
  }
  PrintSection("folders", facts["folders"]);
  if (!facts["data"].is_null()) {
    fmt::print("data in {}\n", facts["data"]["folder"].get<std::string>());
    for (const Json& entry : facts["data"]["entries"]) {
      fmt::print("  {:<18}{} files, {}\n", entry["name"].get<std::string>(),
                 entry["files"].dump(), FormatBytes(entry["bytes"]));
    }
  }
  if (!facts["peaks"].is_null()) PrintPeaks(facts["peaks"]);
}

int RunDoctor(const DoctorOptions& options) {
  CheckTargetFile("--write", options.write);
  if (!options.json) {
    // Loading LibTorch for the list of backends takes half a second.
    fmt::print("rattn {}: looking at this machine\n", RATTN_VERSION);
    std::fflush(stdout);
  }
  Json facts = {
      {"machine", MachineFacts()},
      {"build", BuildFacts()},
      {"threads", ThreadFacts()},
      {"backends", BackendFacts()},
      {"folders",
       {{"configs", ConfigsFolder()}, {"trained models", ProductsFolder()}}},
      {"data", DataFacts(options.data)},
      {"peaks", nullptr}};
  if (options.peaks || !options.write.empty()) facts["peaks"] = PeakFacts();
  if (!options.write.empty()) {
    WriteFileAtomically(
        options.write,
        ToJson(HardwareOf(facts["machine"], facts["peaks"])) + "\n");
  }
  if (options.json) {
    fmt::print("{}\n", facts.dump(2));
  } else {
    PrintText(facts);
  }
  return kExitDone;
}

}  // namespace

void AddDoctor(CLI::App& app, Action* action) {
  auto options = std::make_shared<DoctorOptions>();
  if (const char* shared = std::getenv("RATTN_SHARED")) options->data = shared;
  app.add_flag("--peaks", options->peaks,
               "measure products, exponentials and bandwidth (seconds)");
  app.add_option("--write", options->write,
                 "write the peaks as a hardware config (implies --peaks)");
  app.add_option("--data", options->data,
                 "folder of data sets to look at (default: $RATTN_SHARED)");
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunDoctor(*options); };
}

}  // namespace rattn
