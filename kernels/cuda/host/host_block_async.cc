// HostBlock: what kernels for compute capability 9.0 meet at and copy with.
#include <utility>

#include "kernels/cuda/host/host_block.h"

namespace rattn::cuda {
namespace {

constexpr int kPhaseBytes = 8;

}  // namespace

void HostBlock::NamedBarrier(int thread, int id, int threads,
                             const Where& where) {
  if (id < 1 || id >= static_cast<int>(named_.size())) {
    Report(thread, where, "meets at a barrier beyond 1..15");
    return;
  }
  NamedMeeting& meeting = named_[static_cast<size_t>(id)];
  if (meeting.threads.empty()) meeting.expected = threads;
  if (meeting.expected != threads) {
    Report(thread, where, "meets threads that expect another number of them");
  }
  meeting.threads.push_back(thread);
  if (static_cast<int>(meeting.threads.size()) < meeting.expected) {
    Suspend(thread, where);
    return;
  }
  const std::vector<int> all = std::exchange(meeting.threads, {});
  shadow_.NamedBarrier(all);
  for (const int one : all) Wake(one);
}

void HostBlock::InitPhases(int thread, const void* at, int arrivals,
                           const Where& where) {
  if (!Write(at, kPhaseBytes, ActorOf(thread), thread, where)) return;
  PhaseBarrier& phases = phases_[static_cast<int>(Offset(at))];
  phases.slot = shadow_.clocks().warps() + static_cast<int>(phases_.size()) - 1;
  phases.arrivals = phases.pending = arrivals;
  phases.maker = thread;
  if (phases.slot >= Clocks::kSlots) {
    Report(thread, where, "has more phase barriers than the checker follows");
    phases.slot = Clocks::kSlots - 1;
  }
}

void HostBlock::FenceAsync(int thread) {
  shadow_.FenceAsync(thread);
  for (auto& [byte, phases] : phases_) {
    if (phases.maker != thread || phases.fenced_at != 0) continue;
    phases.fenced_at = shadow_.clocks().Now(thread / kWarpSize);
  }
}

HostBlock::PhaseBarrier* HostBlock::PhasesAt(int thread, const void* at,
                                             const Where& where) {
  const auto found = phases_.find(static_cast<int>(Offset(at)));
  if (found == phases_.end()) {
    Report(thread, where, "uses a phase barrier that nobody has made");
    return nullptr;
  }
  Read(at, kPhaseBytes, ActorOf(thread), thread, where);
  return &found->second;
}

void HostBlock::Arrive(int thread, const void* at, int expected_bytes,
                       const Where& where) {
  PhaseBarrier* phases = PhasesAt(thread, at, where);
  if (phases == nullptr) return;
  phases->bytes += expected_bytes;
  if (phases->pending == 0) {
    Report(thread, where, "arrives at a phase that has all its arrivals");
    return;
  }
  shadow_.clocks().Release(thread / kWarpSize, &phases->arriving);
  --phases->pending;
  CompletePhase(phases);
}

void HostBlock::CompletePhase(PhaseBarrier* phases) {
  if (phases->pending > 0 || phases->bytes != 0) return;
  ++phases->phase;
  phases->pending = phases->arrivals;
  phases->completed = phases->arriving;
  phases->completed[static_cast<size_t>(phases->slot)] = phases->phase;
  for (const int thread : std::exchange(phases->waiting, {})) Wake(thread);
}

void HostBlock::WaitPhase(int thread, const void* at, int parity,
                          const Where& where) {
  PhaseBarrier* phases = PhasesAt(thread, at, where);
  if (phases == nullptr) return;
  while (static_cast<int>(phases->phase % 2) == parity) {
    phases->waiting.push_back(thread);
    Suspend(thread, where, "waits for a phase that never completes");
  }
  shadow_.clocks().Acquire(thread / kWarpSize, phases->completed);
}

void HostBlock::CopyBox(int thread, const BoxCopy& copy, const void* at,
                        const Where& where) {
  PhaseBarrier* phases = PhasesAt(thread, at, where);
  const char* wrong = WhatIsWrong(copy);
  if (wrong != nullptr) Report(thread, where, wrong);
  if (phases == nullptr || wrong != nullptr) return;
  const int maker = phases->maker / kWarpSize, own = thread / kWarpSize;
  if (phases->fenced_at == 0 ||
      (maker != own &&
       !shadow_.clocks().Knows(own, maker, phases->fenced_at))) {
    Report(thread, where, "copies for a phase barrier made without FenceAsync");
  }
  if (!InShared(shared() + copy.to, copy.bytes(), thread, where)) return;
  wrong = shadow_.BeginCopy(copy.to, copy.bytes(), ActorOf(thread));
  if (wrong != nullptr) Report(thread, where, wrong);
  boxes_.push_back({copy, phases, thread, where});
}

void HostBlock::DeliverBox() {
  const PendingBox box = boxes_.front();
  boxes_.pop_front();
  RunBoxCopy(box.copy, shared());
  shadow_.EndBox(box.copy.to, box.copy.bytes(), box.phases->slot,
                 box.phases->phase);
  box.phases->bytes -= box.copy.bytes();
  if (box.phases->bytes < 0) {
    Report(box.thread, box.where, "brings more bytes than its phase expects");
  }
  CompletePhase(box.phases);
}

void HostBlock::ReportUnfinished() {
  if (done_ < count_) return;  // stuck, which was reported
  for (const PendingBox& box : boxes_) {
    Report(box.thread, box.where, "copies a box that nobody waits for");
  }
  products_.EndBlock();
}

}  // namespace rattn::cuda
