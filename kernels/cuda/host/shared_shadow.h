// What is known of every two bytes of a block's shared memory: who wrote and
// who read them last, and what has ordered the threads since. Two accesses of
// which one writes are ordered by a barrier of the block between them, by a
// barrier of the warp if both threads are of that warp, and within a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rattn::cuda {

// Who accesses memory. Lanes of one warp that act together (LoadMatrix4) are
// the actor `kTogether` of that warp: they need order even among themselves.
struct Actor {
  static constexpr int16_t kTogether = -1;
  static constexpr int16_t kSeveral = -2;
  int16_t thread = 0;
  int16_t warp = 0;
};

class SharedShadow {
 public:
  SharedShadow(int bytes, int warps);

  void BeginBlock();  // nothing is written any more
  void BlockBarrier() { ++block_time_; }
  void WarpBarrier(int warp) { ++warp_time_[static_cast<size_t>(warp)]; }

  // Each returns what is wrong with the access, or nullptr.
  const char* Read(int byte, int bytes, Actor actor);
  const char* Write(int byte, int bytes, Actor actor);
  // An asynchronous write begins (by the rules of Write) and ends.
  const char* BeginCopy(int byte, int bytes, Actor actor);
  void EndCopy(int byte, int bytes, Actor actor);

 private:
  struct Access {
    uint32_t block_time = 0;
    uint32_t warp_time = 0;
    Actor actor;
  };
  struct Granule {
    Access write, read;
    bool in_flight = false;
  };
  static constexpr int kGranuleBytes = 2;

  template <typename Check>
  const char* ForEach(int byte, int bytes, Check check);
  Access Now(Actor actor) const;
  bool OfThisBlock(const Access& a) const {
    return a.block_time >= first_time_;
  }
  bool Ordered(const Access& before, Actor actor) const;
  void NoteRead(Granule* g, Actor actor) const;
  const char* CheckWrite(const Granule& g, Actor actor) const;

  std::vector<Granule> granules_;
  std::vector<uint32_t> warp_time_;
  uint32_t block_time_ = 1;
  uint32_t first_time_ = 1;
};

}  // namespace rattn::cuda
