#include "kernels/cpu/tile_sizes.h"

#include <initializer_list>

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
    return {.forward_rows = 256,
            .backward_rows = 256,
            .chunk = 128,
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
