#include "harness/machine_tiles.h"

#include <fmt/format.h>
#include <omp.h>

#include <filesystem>

#include "harness/file_io.h"
#include "harness/hash.h"
#include "harness/machine.h"
#include "harness/products.h"
#include "kernels/cpu/isa.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr int64_t kSchema = 1;
constexpr size_t kMostBytes = 1 << 16;

void CheckSize(const std::string& origin, const char* key, int64_t value,
               int64_t least, int64_t most) {
  if (value == 0 || (value >= least && value <= most)) return;
  throw UserError(fmt::format("{}: \"{}\" must be 0 or {} to {}, not {}",
                              origin, key, least, most, value));
}

void CheckSizes(const std::string& origin, const TileSizes& s) {
  CheckSize(origin, "forward_rows", s.forward_rows, kLeastRows, kMostRows);
  CheckSize(origin, "backward_rows", s.backward_rows, kLeastRows, kMostRows);
  CheckSize(origin, "chunk", s.chunk, 1, kMostChunk);
  CheckSize(origin, "state_every", s.state_every, 1, kMostEvery);
}

}  // namespace

TunedMachine ThisMachine() {
  TunedMachine machine;
  machine.schema = kSchema;
  machine.cpu = CpuName();
  machine.isa = CpuIsa();
  machine.threads = omp_get_num_procs();
  return machine;
}

std::string MachineTilesPath(const TunedMachine& machine) {
  const Json key = {machine.cpu, machine.isa, machine.threads};
  return (std::filesystem::path(CacheFolder()) /
          fmt::format("tiles-{}.json", HashJson(key).substr(0, 16)))
      .string();
}

MachineTileSizes ReadMachineTiles(const std::string& path,
                                  const TunedMachine& machine) {
  const auto read = ParseFields<TunedMachine>(
      ParseJsonText(ReadTextFile(path, kMostBytes), path), path);
  if (read.schema != kSchema) {
    throw UserError(fmt::format("{}: \"schema\" must be {}, not {}", path,
                                kSchema, read.schema));
  }
  if (read.cpu != machine.cpu || read.isa != machine.isa ||
      read.threads != machine.threads) {
    throw UserError(path + ": of another machine");
  }
  CheckSizes(path, read.sizes.vectors);
  CheckSizes(path, read.sizes.tiles);
  return read.sizes;
}

void WriteMachineTiles(const std::string& path, const TunedMachine& machine) {
  MakeWritableFolder(std::filesystem::path(path).parent_path().string());
  WriteFileAtomically(path, PrintFields(machine).dump(2) + "\n");
}

void LoadMachineTiles(bool quiet) {
  const TunedMachine machine = ThisMachine();
  std::string path;
  try {
    path = MachineTilesPath(machine);
  } catch (const UserError&) {
    return;  // no cache folder, nothing tuned
  }
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  try {
    UseMachineTileSizes(ReadMachineTiles(path, machine));
  } catch (const std::exception& error) {
    if (quiet) return;
    fmt::print(stderr,
               "rattn: tuned tile sizes ignored: {}; run rattn bench --tune\n",
               error.what());
  }
}

Json MachineTilesFacts() {
  const MachineTileSizes& sizes = UsedMachineTileSizes();
  if (sizes == MachineTileSizes{}) return nullptr;
  return {{"vectors", PrintFields(sizes.vectors)},
          {"tiles", PrintFields(sizes.tiles)}};
}

}  // namespace rattn
