// What the cpu backend chose for a problem, for those who report about it.
#pragma once

#include <cstdint>

#include "kernels/cpu/tile_sizes.h"

namespace rattn {

struct TilesInUse {
  // Which passes multiply; backward_path and memory_path matter where there is
  // a backward or a memory.
  TilePath forward_path, backward_path, memory_path;
  // Each of the path that uses it; those of absent branches are 0.
  TileSizes sizes;
  // Phase kTrain with a memory: states that the backward keeps at a time, of
  // all threads, those inside a segment among them.
  int64_t kept_state_bytes = 0;
};

TilesInUse TilesOf(const Problem& problem);

}  // namespace rattn
