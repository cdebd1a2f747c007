// What is known of every two bytes of a block's shared memory: who wrote and
// who read them last, and what has ordered the threads since. Two accesses of
// which one writes are ordered by a barrier of the block between them, by a
// barrier of the warp if both threads are of that warp, within a thread, and by
// what warps release to each other (clocks.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cuda/host/clocks.h"

namespace rattn::cuda {

// Who accesses memory. Lanes of one warp that act together (LoadMatrix4) are
// the actor `kTogether` of that warp: they need order even among themselves.
struct Actor {
  static constexpr int16_t kTogether = -1;
  static constexpr int16_t kSeveral = -2;
  static constexpr int16_t kBox =
      -3;  // CopyBox; `warp`: its slot in the clocks
  int16_t thread = 0;
  int16_t warp = 0;
};

class SharedShadow {
 public:
  SharedShadow(int bytes, int warps);

  void BeginBlock();  // nothing is written any more
  void BlockBarrier();
  void WarpBarrier(int warp);
  // A barrier of the warps in which these threads, whole warps, are.
  void NamedBarrier(const std::vector<int>& threads);
  // What the thread wrote may be read by products and overwritten by boxes.
  void FenceAsync(int thread) { ++fences_[static_cast<size_t>(thread)]; }
  Clocks& clocks() { return clocks_; }

  // Each returns what is wrong with the access, or nullptr.
  const char* Read(int byte, int bytes, Actor actor);
  const char* Write(int byte, int bytes, Actor actor);
  // An asynchronous write begins (by the rules of Write) and ends.
  const char* BeginCopy(int byte, int bytes, Actor actor);
  void EndCopy(int byte, int bytes, Actor actor);
  // The end of one by a box whose bytes complete phase `phase` of `slot`.
  void EndBox(int byte, int bytes, int slot, uint32_t phase);
  // A read by a product of `warp` begins; all of group `group` end.
  const char* BeginProductRead(int byte, int bytes, int warp, int64_t group);
  void EndProductReads(int warp, int64_t group);

 private:
  struct Access {
    uint32_t block_time = 0;
    uint32_t time = 0;    // in the clocks
    uint32_t fences = 0;  // of the thread until then
    Actor actor;
  };
  struct Granule {
    Access write, read;
    bool in_flight = false;
  };
  // The last one of a part (kPartBytes) by products of a warp, until bytes of
  // the part are written again.
  struct ProductRead {
    enum { kNone, kUnderWay, kDone } state = kNone;
    int64_t group = 0;
    uint32_t time = 0;  // at its end
  };
  static constexpr int kGranuleBytes = 2;
  static constexpr int kPartBytes = 1024;

  template <typename Check>
  const char* ForEach(int byte, int bytes, Check check);
  Access Now(Actor actor) const;
  bool OfThisBlock(const Access& a) const {
    return a.block_time >= first_time_;
  }
  bool Ordered(const Access& before, Actor actor) const;
  void NoteRead(Granule* g, Actor actor) const;
  const char* CheckWrite(const Granule& g, Actor actor) const;
  const char* CheckProductReads(int byte, int bytes, Actor actor);
  ProductRead& ReadOfPart(int part, int warp) {
    return product_reads_[static_cast<size_t>(part * clocks_.warps() + warp)];
  }

  std::vector<Granule> granules_;
  Clocks clocks_;
  std::vector<uint32_t> warp_synced_;  // its time at the last warp barrier
  std::vector<uint32_t> fences_;
  std::vector<ProductRead> product_reads_;  // of every part and warp
  bool has_product_reads_ = false;
  uint32_t block_time_ = 1;
  uint32_t first_time_ = 1;
};

}  // namespace rattn::cuda
