// What each warp of a block knows of the others' past (vector clocks): an
// access is ordered behind another where its warp has acquired what the other's
// warp released after it. Slots beyond the warps are barriers of phases, whose
// time is their phase: what CopyBox wrote is known through them alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rattn::cuda {

class Clocks {
 public:
  static constexpr int kSlots = 64;
  using Stamp = std::array<uint32_t, kSlots>;

  explicit Clocks(int warps) : warps_(warps) { BeginBlock(); }

  void BeginBlock() {
    seen_.assign(static_cast<size_t>(warps_), Stamp{});
    now_.assign(static_cast<size_t>(warps_), 1);
  }
  int warps() const { return warps_; }
  uint32_t Now(int warp) const { return now_[static_cast<size_t>(warp)]; }

  // All that `warp` did and knows goes into `to`.
  void Release(int warp, Stamp* to) {
    auto& seen = seen_[static_cast<size_t>(warp)];
    seen[static_cast<size_t>(warp)] = ++now_[static_cast<size_t>(warp)];
    Join(seen, to);
  }
  void Acquire(int warp, const Stamp& from) {
    Join(from, &seen_[static_cast<size_t>(warp)]);
  }
  // Whether what happened in `slot` at `time` is known to `warp`.
  bool Knows(int warp, int slot, uint32_t time) const {
    return seen_[static_cast<size_t>(warp)][static_cast<size_t>(slot)] > time;
  }

 private:
  static void Join(const Stamp& from, Stamp* to) {
    for (size_t i = 0; i < from.size(); ++i) {
      (*to)[i] = std::max((*to)[i], from[i]);
    }
  }

  int warps_;
  std::vector<Stamp> seen_;
  std::vector<uint32_t> now_;
};

}  // namespace rattn::cuda
