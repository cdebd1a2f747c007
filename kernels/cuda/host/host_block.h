// One block on the CPU: a fiber per thread, warps in turn. A fiber runs until
// its lanes must act together or its block must meet; the last lane to arrive
// does the work of the warp and goes on, so a collective operation costs one
// switch per lane. Threads, not warps, are fibers: bodies stay plain CUDA code
// in which lanes may diverge, and a missing warp barrier shows. Boxes arrive as
// late as can be: when no thread can run without them, in the order in which
// they were asked for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/host/box_copy.h"
#include "kernels/cuda/host/fiber.h"
#include "kernels/cuda/host/findings.h"
#include "kernels/cuda/host/group_products.h"
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

  // Of compute capability 9.0; `byte`: of a phase barrier in shared memory.
  void NamedBarrier(int thread, int id, int threads, const Where& where);
  void InitPhases(int thread, const void* at, int arrivals, const Where& where);
  void Arrive(int thread, const void* at, int expected_bytes,
              const Where& where);
  void WaitPhase(int thread, const void* at, int parity, const Where& where);
  void CopyBox(int thread, const BoxCopy& copy, const void* phases,
               const Where& where);
  void FenceAsync(int thread);
  GroupProducts& products() { return products_; }

  void Report(int thread, const Where& where, std::string_view what);

 private:
  struct NamedMeeting {
    int expected = 0;
    std::vector<int> threads;
  };
  struct PhaseBarrier {
    int slot = 0;  // in the clocks
    int arrivals = 0, pending = 0;
    int64_t bytes = 0;  // still expected
    uint32_t phase = 0;
    int maker = 0;           // thread
    uint32_t fenced_at = 0;  // by it, in its clock; 0: not yet
    Clocks::Stamp arriving = {}, completed = {};
    std::vector<int> waiting;
  };
  struct PendingBox {
    BoxCopy copy;
    PhaseBarrier* phases;
    int thread;
    Where where;
  };
  struct PendingCopy {
    int to;
    const void* from;
    int group;
  };
  struct Thread {
    std::vector<PendingCopy> copies;
    int group = 0;
    Where waits_at;
    const char* waits_for = "";
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
  void Suspend(int thread, const Where& where,
               const char* waits_for = "waits for threads that never come");
  void Wake(int thread);
  void GoOn(int from, bool last);
  int NextReady(int from);
  PhaseBarrier* PhasesAt(int thread, const void* at, const Where& where);
  void CompletePhase(PhaseBarrier* phases);
  void DeliverBox();
  void ReportUnfinished();
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
  int done_ = 0;  // threads
  std::array<NamedMeeting, 16> named_;
  std::map<int, PhaseBarrier> phases_;  // by byte
  std::deque<PendingBox> boxes_;
  GroupProducts products_;
  const std::function<void(int)>* body_ = nullptr;
};

}  // namespace rattn::cuda
