#include "harness/kernel_tiles.h"

#include "harness/machine_tiles.h"
#include "kernels/cpu/tiles_in_use.h"

namespace rattn {
namespace {

const char* NameOf(TilePath path) {
  return path == TilePath::kTiles ? "tiles" : "vectors";
}

}  // namespace

void AddTiles(const Problem& problem, const Backend& backend, Json* detail) {
  const bool cached =
      problem.phase == Phase::kExtend || problem.phase == Phase::kDecode;
  if (!backend.name().starts_with("cpu") || cached) return;
  const TilesInUse use = TilesOf(problem);
  Json tiles = PrintFields(use.sizes);
  if (HasLocal(problem.spec)) {
    tiles["forward_on"] = NameOf(use.forward_path);
    if (problem.phase == Phase::kTrain) {
      tiles["backward_on"] = NameOf(use.backward_path);
    }
  }
  if (HasMemory(problem.spec)) tiles["memory_on"] = NameOf(use.memory_path);
  tiles["tuned"] = UsedMachineTileSizes() != MachineTileSizes{};
  (*detail)["tiles"] = tiles;
  if (use.kept_state_bytes > 0) {
    (*detail)["kept_state_bytes"] = use.kept_state_bytes;
  }
}

}  // namespace rattn
