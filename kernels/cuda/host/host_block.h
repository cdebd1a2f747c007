// One block on the CPU: a fiber per thread, warps in turn. A fiber runs until
// its lanes must act together or its block must meet; the last lane to arrive
// does the work of the warp and goes on, so a collective operation costs one
// switch per lane. Threads, not warps, are fibers: bodies stay plain CUDA code
// in which lanes may diverge, and a missing warp barrier shows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/host/fiber.h"
#include "kernels/cuda/host/findings.h"
#include "kernels/cuda/host/shared_shadow.h"

namespace rattn::cuda {

class HostBlock {
 public:
  HostBlock(std::string_view kernel, int threads, int shared_bytes,
            Findings* findings);

  // Runs `thread_body(thread)` for every thread of the block.
  void Run(const std::array<int, 3>& block,
           const std::function<void(int)>& thread_body);

  // ------------------------------------------ called by the running thread
  int block(int axis) const { return block_[static_cast<size_t>(axis)]; }
  void BlockBarrier(int thread, const Where& where);
  void WarpBarrier(int thread, const Where& where);
  // Waits until all lanes of the warp are here; then `act` runs once with the
  // 32 arguments, and everyone goes on.
  using WarpAction = void (*)(void* const* arguments);
  void MeetWarp(int thread, WarpAction act, void* argument, const Where& where);

  std::byte* shared() { return reinterpret_cast<std::byte*>(shared_.data()); }
  int shared_bytes() const { return shared_bytes_; }
  // Accesses to shared memory; false: report made, keep off.
  bool Read(const void* at, int bytes, Actor actor, int thread,
            const Where& where);
  bool Write(const void* at, int bytes, Actor actor, int thread,
             const Where& where);

  // `from` null: zeros.
  void Copy(int thread, void* to, const void* from, const Where& where);
  void Commit(int thread) { ++threads_[static_cast<size_t>(thread)].group; }
  void Wait(int thread, int groups_left);

  void Report(int thread, const Where& where, std::string_view what);

 private:
  struct PendingCopy {
    int to;
    const void* from;
    int group;
  };
  struct Thread {
    std::vector<PendingCopy> copies;
    int group = 0;
    Where waits_at;
    bool done = false;
  };
  struct Warp {
    uint32_t ready = 0;  // lanes that can run
    uint32_t arrived = 0;
    std::array<void*, kWarpSize> arguments = {};
    WarpAction act = nullptr;
  };

  static void ThreadEntry(void* self);
  void Prepare();
  void RunThread();
  void EndThread(int thread);
  void ReportStuck();
  void Suspend(int thread, const Where& where);
  void GoOn(int from, bool last);
  int NextReady(int from) const;
  bool InShared(const void* at, int bytes, int thread, const Where& where);
  int64_t Offset(const void* at) {
    return static_cast<const std::byte*>(at) - shared();
  }
  Actor ActorOf(int thread) const {
    return {static_cast<int16_t>(thread),
            static_cast<int16_t>(thread / kWarpSize)};
  }

  std::string_view kernel_;
  int count_;
  int shared_bytes_;
  Findings* findings_;
  std::array<int, 3> block_ = {};
  FiberSet& fibers_;
  SharedShadow shadow_;
  struct alignas(128) SharedLine {
    std::byte bytes[128];
  };
  std::vector<SharedLine> shared_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  int at_barrier_ = 0;
  const std::function<void(int)>* body_ = nullptr;
};

}  // namespace rattn::cuda
