// What a thread holds while it multiplies bf16 tiles (bf16_tiles-inl.h).
#pragma once

#include <optional>

#include "kernels/cpu/amx.h"
#include "kernels/cpu/isa.h"

namespace rattn {

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
