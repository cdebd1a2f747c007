#include "kernels/cpu/tile_sizes.h"

#include <initializer_list>

#include "kernels/cpu/isa.h"

namespace rattn {
namespace {

MachineTileSizes& Machine() {
  static MachineTileSizes sizes;
  return sizes;
}

int64_t FirstSet(std::initializer_list<int64_t> values) {
  for (const int64_t value : values) {
    if (value > 0) return value;
  }
  return 0;
}

}  // namespace

TileSizes DefaultTileSizes(TilePath path, const Problem&) {
  if (path == TilePath::kTiles) {
    // forward_rows: 64 to 512 are within 1 % (full T 4096: 82.9, 82.7, 82.8,
    // 82.3 ms; swa W 512: 50.5, 50.1, 50.1, 49.8 ms); 256 keeps whole strips
    // for groups of 3 to 8 as well.
    // backward_rows 64, 128, 256, 512: full T 2048 85.2, 81.5, 86.6, 88.6 ms,
    // swa W 512 T 4096 92.7, 92.1, 94.3, 97.5 ms.
    // C 64, 128, 192, 256: rattention W 512 forward T 8192 72.6, 75.6, 78.9,
    // 81.7 ms; rla training T 8192 with m 1, 2, 4: C 64 113, 114, 117 ms, C 128
    // 121, 128, 130 ms. m 4 keeps a quarter of the states for 3 %, which then
    // are twice as large as the keys (D 128). On AMX 128 was the choice before,
    // and has not been measured against 64.
    const bool amx = RunningTileUnit() == TileUnit::kAmx;
    return {.forward_rows = 256,
            .backward_rows = 128,
            .chunk = amx ? 128 : 64,
            .state_every = 4};
  }
  // fp32, T 8192 forward and backward of rla, CPU seconds of both threads:
  // C 32 0.80, 64 0.90, 128 0.94, 192 1.12, 256 1.43, and at C 64 within 5 %
  // for m 1 to 8. C 64 halves the kept states of C 32, and m 4 makes them
  // smaller than the keys and values themselves.
  return {
      .forward_rows = 64, .backward_rows = 64, .chunk = 64, .state_every = 4};
}

void UseMachineTileSizes(const MachineTileSizes& sizes) { Machine() = sizes; }
const MachineTileSizes& UsedMachineTileSizes() { return Machine(); }

TileSizes TileSizesOf(TilePath path, const Problem& problem) {
  const TileSizes own =
      path == TilePath::kTiles ? Machine().tiles : Machine().vectors;
  const TileSizes otherwise = DefaultTileSizes(path, problem);
  return {
      FirstSet({own.forward_rows, otherwise.forward_rows}),
      FirstSet({own.backward_rows, otherwise.backward_rows}),
      FirstSet({problem.tiling.chunk, own.chunk, otherwise.chunk}),
      FirstSet(
          {problem.tiling.state_every, own.state_every, otherwise.state_every}),
  };
}

}  // namespace rattn
