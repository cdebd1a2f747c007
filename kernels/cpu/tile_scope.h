// What a thread holds while it multiplies bf16 tiles (bf16_tiles-inl.h).
#pragma once

#include <optional>

#include "kernels/cpu/amx.h"
#include "kernels/cpu/isa.h"
#include "kernels/problem.h"

namespace rattn {

// Whether bf16 tiles help: not for single steps on a cache, whose time is that
// of reading it.
inline bool FitsTiles(const Problem& problem) {
  const bool step =
      problem.phase == Phase::kDecode ||
      (problem.phase == Phase::kExtend && problem.shape.query_len == 1);
  return problem.dtype == Dtype::kBF16 && TilesOn() && !step;
}

// The tile registers, where the products run on them.
class TileScope {
 public:
  TileScope() {
    if (RunningTileUnit() == TileUnit::kAmx) tiles_.emplace();
  }

 private:
  std::optional<AmxTiles> tiles_;
};

}  // namespace rattn
