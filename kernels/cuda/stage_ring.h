// Stages of shared memory that one warp fills by CopyBox and others read: for
// each stage a barrier of phases says that it is full, another that its readers
// are done with it. Fill n of the ring lies in stage n % kStages and is phase
// n / kStages of its barriers.
#pragma once

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

template <int kStages, int kReaders>  // kReaders: warps
struct StageRing {
  static constexpr int kBytes =
      2 * kStages * static_cast<int>(sizeof(uint64_t));

  int byte;  // of the block's shared memory

  RATTN_FN static int Stage(int n) { return n % kStages; }
  RATTN_FN static int Parity(int n) { return n / kStages % 2; }

  template <class Exec>
  RATTN_FN Shared<uint64_t> Phases(Exec& x) const {
    return x.template SharedAt<uint64_t>(byte, 2 * kStages);
  }
  // By one thread; the block meets behind it.
  template <class Exec>
  RATTN_FN void Init(Exec& x) const {
    for (int stage = 0; stage < kStages; ++stage) {
      x.InitPhases(Phases(x), stage, 1);
      x.InitPhases(Phases(x), kStages + stage, kReaders);
    }
  }
  // By the filling thread: waits until fill n may begin; its `bytes` follow.
  template <class Exec>
  RATTN_FN void BeginFill(Exec& x, int n, int bytes) const {
    x.WaitPhase(Phases(x), kStages + Stage(n), Parity(n) ^ 1);
    x.ArriveExpecting(Phases(x), Stage(n), bytes);
  }
  template <class Exec>
  RATTN_FN void WaitFull(Exec& x, int n) const {
    x.WaitPhase(Phases(x), Stage(n), Parity(n));
  }
  // By all lanes of each reader, whose reads are done.
  template <class Exec>
  RATTN_FN void Release(Exec& x, int n) const {
    if (x.lane() == 0) x.Arrive(Phases(x), kStages + Stage(n));
  }
};

}  // namespace rattn::cuda
