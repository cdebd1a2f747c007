#include "kernels/cuda/host/host_block.h"

#include <bit>
#include <cstring>
#include <map>

namespace rattn::cuda {
namespace {

constexpr uint32_t kAllLanes = 0xffffffffu;
// Quiet NaNs in fp32, fp16 and bf16: what nobody wrote spoils every result.
constexpr int kUnwrittenByte = 0xff;

// Kept from launch to launch: their pages are most of a small launch's time.
FiberSet& FibersOf(int threads) {
  thread_local std::map<int, FiberSet> sets;
  return sets.try_emplace(threads, threads).first->second;
}

}  // namespace

HostBlock::HostBlock(std::string_view kernel, int threads, int shared_bytes,
                     Findings* findings)
    : kernel_(kernel),
      count_(threads),
      shared_bytes_(shared_bytes),
      findings_(findings),
      fibers_(FibersOf(threads)),
      shadow_(shared_bytes, threads / kWarpSize),
      shared_(static_cast<size_t>(shared_bytes) / sizeof(SharedLine) + 1),
      threads_(static_cast<size_t>(threads)),
      warps_(static_cast<size_t>(threads / kWarpSize)),
      products_(threads / kWarpSize, shared(), shared_bytes, &shadow_,
                [this](int warp, const Where& where, std::string_view what) {
                  Report(warp * kWarpSize, where, what);
                }) {}

void HostBlock::Run(const std::array<int, 3>& block,
                    const std::function<void(int)>& thread_body) {
  block_ = block;
  body_ = &thread_body;
  Prepare();
  fibers_.Switch(fibers_.main(), 0);
  ReportStuck();
  ReportUnfinished();
}

void HostBlock::Prepare() {
  std::memset(shared(), kUnwrittenByte, shared_.size() * sizeof(SharedLine));
  shadow_.BeginBlock();
  at_barrier_ = 0;
  done_ = 0;
  named_.fill({});
  phases_.clear();
  boxes_.clear();
  products_.BeginBlock();
  for (Warp& warp : warps_) warp = {.ready = kAllLanes};
  for (int i = 0; i < count_; ++i) {
    Thread& thread = threads_[static_cast<size_t>(i)];
    thread.copies.clear();
    thread.group = 0;
    thread.done = false;
    fibers_.Prepare(i, &HostBlock::ThreadEntry, this);
  }
}

void HostBlock::ThreadEntry(void* self) {
  static_cast<HostBlock*>(self)->RunThread();
}

void HostBlock::RunThread() {
  const int thread = fibers_.current();
  (*body_)(thread);
  EndThread(thread);
  GoOn(thread, /*last=*/true);
}

void HostBlock::EndThread(int thread) {
  Thread& t = threads_[static_cast<size_t>(thread)];
  if (!t.copies.empty()) {
    Report(thread, Where::current(), "ends with asynchronous copies under way");
  }
  t.done = true;
  ++done_;
  warps_[static_cast<size_t>(thread / kWarpSize)].ready &=
      ~(1u << (thread % kWarpSize));
}

void HostBlock::ReportStuck() {
  for (int i = 0; i < count_; ++i) {
    const Thread& t = threads_[static_cast<size_t>(i)];
    if (t.done) continue;
    Report(i, t.waits_at, t.waits_for);
    return;
  }
}

int HostBlock::NextReady(int from) {
  const int warps = static_cast<int>(warps_.size());
  const int first = from / kWarpSize;
  while (true) {
    for (int i = 0; i < warps; ++i) {
      const int warp = (first + i) % warps;
      const uint32_t ready = warps_[static_cast<size_t>(warp)].ready;
      if (ready != 0) return warp * kWarpSize + std::countr_zero(ready);
    }
    if (boxes_.empty() || done_ == count_) return fibers_.main();
    DeliverBox();
  }
}

void HostBlock::GoOn(int from, bool last) {
  const int next = NextReady(from);
  if (next != from) fibers_.Switch(from, next, last);
}

void HostBlock::Wake(int thread) {
  warps_[static_cast<size_t>(thread / kWarpSize)].ready |=
      1u << (thread % kWarpSize);
}

void HostBlock::Suspend(int thread, const Where& where, const char* waits_for) {
  Thread& t = threads_[static_cast<size_t>(thread)];
  t.waits_at = where;
  t.waits_for = waits_for;
  warps_[static_cast<size_t>(thread / kWarpSize)].ready &=
      ~(1u << (thread % kWarpSize));
  GoOn(thread, /*last=*/false);
}

void HostBlock::BlockBarrier(int thread, const Where& where) {
  if (++at_barrier_ < count_) {
    Suspend(thread, where);
    return;
  }
  at_barrier_ = 0;
  shadow_.BlockBarrier();
  for (Warp& warp : warps_) warp.ready = kAllLanes;
}

void HostBlock::MeetWarp(int thread, WarpAction act, void* argument,
                         const Where& where) {
  Warp& warp = warps_[static_cast<size_t>(thread / kWarpSize)];
  const int lane = thread % kWarpSize;
  if (warp.arrived == 0) warp.act = act;
  if (warp.act != act) {
    Report(thread, where, "meets lanes that do another operation");
    warp.act = [](void* const*) {};
  }
  warp.arguments[static_cast<size_t>(lane)] = argument;
  warp.arrived |= 1u << lane;
  if (warp.arrived != kAllLanes) {
    Suspend(thread, where);
    return;
  }
  warp.arrived = 0;
  warp.act(warp.arguments.data());
  warp.ready = kAllLanes;
}

void HostBlock::WarpBarrier(int thread, const Where& where) {
  struct Argument {
    SharedShadow* shadow;
    int warp;
  } argument{&shadow_, thread / kWarpSize};
  const WarpAction act = [](void* const* arguments) {
    const auto* first = static_cast<const Argument*>(arguments[0]);
    first->shadow->WarpBarrier(first->warp);
  };
  MeetWarp(thread, act, &argument, where);
}

bool HostBlock::InShared(const void* at, int bytes, int thread,
                         const Where& where) {
  const int64_t offset = Offset(at);
  if (offset >= 0 && offset + bytes <= shared_bytes_) return true;
  Report(thread, where, "accesses shared memory outside the block's");
  return false;
}

bool HostBlock::Read(const void* at, int bytes, Actor actor, int thread,
                     const Where& where) {
  if (!InShared(at, bytes, thread, where)) return false;
  const char* wrong = shadow_.Read(static_cast<int>(Offset(at)), bytes, actor);
  if (wrong != nullptr) Report(thread, where, wrong);
  return true;
}

bool HostBlock::Write(const void* at, int bytes, Actor actor, int thread,
                      const Where& where) {
  if (!InShared(at, bytes, thread, where)) return false;
  const char* wrong = shadow_.Write(static_cast<int>(Offset(at)), bytes, actor);
  if (wrong != nullptr) Report(thread, where, wrong);
  return true;
}

void HostBlock::Copy(int thread, void* to, const void* from,
                     const Where& where) {
  if (!InShared(to, kCopyBytes, thread, where)) return;
  const auto offset = static_cast<int>(Offset(to));
  if (const char* wrong =
          shadow_.BeginCopy(offset, kCopyBytes, ActorOf(thread))) {
    Report(thread, where, wrong);
  }
  Thread& t = threads_[static_cast<size_t>(thread)];
  t.copies.push_back({offset, from, t.group});
}

void HostBlock::Wait(int thread, int groups_left) {
  Thread& t = threads_[static_cast<size_t>(thread)];
  const int done_below = t.group - groups_left;
  std::erase_if(t.copies, [&](const PendingCopy& copy) {
    if (copy.group >= done_below) return false;
    if (copy.from == nullptr) {
      std::memset(shared() + copy.to, 0, kCopyBytes);
    } else {
      std::memcpy(shared() + copy.to, copy.from, kCopyBytes);
    }
    shadow_.EndCopy(copy.to, kCopyBytes, ActorOf(thread));
    return true;
  });
}

void HostBlock::Report(int thread, const Where& where, std::string_view what) {
  findings_->Add(kernel_, block_.data(), thread, where, what);
}

}  // namespace rattn::cuda
