#include "kernels/cuda/host/shared_shadow.h"

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

SharedShadow::SharedShadow(int bytes, int warps)
    : granules_(
          static_cast<size_t>((bytes + kGranuleBytes - 1) / kGranuleBytes)),
      clocks_(warps),
      warp_synced_(static_cast<size_t>(warps), 0),
      fences_(static_cast<size_t>(warps * kWarpSize), 0),
      product_reads_(static_cast<size_t>((bytes / kPartBytes + 1) * warps)) {}

void SharedShadow::BeginBlock() {
  first_time_ = ++block_time_;
  clocks_.BeginBlock();
  warp_synced_.assign(warp_synced_.size(), 0);
  product_reads_.assign(product_reads_.size(), {});
  has_product_reads_ = false;
}

void SharedShadow::BlockBarrier() {
  ++block_time_;
  Clocks::Stamp all = {};
  for (int w = 0; w < clocks_.warps(); ++w) clocks_.Release(w, &all);
  for (int w = 0; w < clocks_.warps(); ++w) clocks_.Acquire(w, all);
}

void SharedShadow::WarpBarrier(int warp) {
  Clocks::Stamp own = {};
  clocks_.Release(warp, &own);
  warp_synced_[static_cast<size_t>(warp)] = clocks_.Now(warp);
}

void SharedShadow::NamedBarrier(const std::vector<int>& threads) {
  Clocks::Stamp all = {};
  const auto each_warp = [&](auto call) {
    for (const int thread : threads) {
      if (thread % kWarpSize == 0) call(thread / kWarpSize);
    }
  };
  each_warp([&](int w) {
    clocks_.Release(w, &all);
    warp_synced_[static_cast<size_t>(w)] = clocks_.Now(w);
  });
  each_warp([&](int w) { clocks_.Acquire(w, all); });
}

SharedShadow::Access SharedShadow::Now(Actor actor) const {
  const uint32_t fences =
      actor.thread >= 0 ? fences_[static_cast<size_t>(actor.thread)] : 0;
  return {block_time_, clocks_.Now(actor.warp), fences, actor};
}

bool SharedShadow::Ordered(const Access& before, Actor actor) const {
  if (before.actor.thread == Actor::kBox) {
    return clocks_.Knows(actor.warp, before.actor.warp, before.time);
  }
  if (before.block_time < block_time_) return true;
  if (before.actor.warp < 0) return false;  // several
  if (before.actor.warp != actor.warp) {
    return clocks_.Knows(actor.warp, before.actor.warp, before.time);
  }
  if (before.time < warp_synced_[static_cast<size_t>(actor.warp)]) return true;
  return before.actor.thread >= 0 && before.actor.thread == actor.thread;
}

template <typename Check>
const char* SharedShadow::ForEach(int byte, int bytes, Check check) {
  const auto first = static_cast<size_t>(byte / kGranuleBytes);
  const auto last = static_cast<size_t>((byte + bytes - 1) / kGranuleBytes);
  const char* wrong = nullptr;
  for (size_t i = first; i <= last; ++i) {
    if (const char* found = check(&granules_[i])) wrong = found;
  }
  return wrong;
}

// Keeps enough of all reads since the last barrier to judge the next write.
void SharedShadow::NoteRead(Granule* g, Actor actor) const {
  Access now = Now(actor);
  if (g->read.block_time == block_time_) {
    const Actor before = g->read.actor;
    if (before.thread != actor.thread) now.actor.thread = Actor::kSeveral;
    if (before.warp != actor.warp) now.actor.warp = Actor::kSeveral;
  }
  g->read = now;
}

const char* SharedShadow::Read(int byte, int bytes, Actor actor) {
  return ForEach(byte, bytes, [&](Granule* g) -> const char* {
    const bool written = OfThisBlock(g->write);
    const bool ordered = Ordered(g->write, actor);
    NoteRead(g, actor);
    if (!written) return "reads shared memory that nobody has written";
    if (g->in_flight) {
      return "reads shared memory under an asynchronous copy without a wait";
    }
    if (ordered) return nullptr;
    return "reads shared memory that another thread wrote, no barrier between";
  });
}

const char* SharedShadow::CheckWrite(const Granule& g, Actor actor) const {
  if (OfThisBlock(g.write) && g.in_flight) {
    return "writes shared memory under an asynchronous copy";
  }
  if (OfThisBlock(g.write) && !Ordered(g.write, actor)) {
    return "writes shared memory that another thread wrote, no barrier between";
  }
  if (OfThisBlock(g.read) && !Ordered(g.read, actor)) {
    return "writes shared memory that another thread still reads, no barrier "
           "between";
  }
  return nullptr;
}

const char* SharedShadow::Write(int byte, int bytes, Actor actor) {
  const char* reads = CheckProductReads(byte, bytes, actor);
  const char* wrong = ForEach(byte, bytes, [&](Granule* g) {
    const char* found = CheckWrite(*g, actor);
    g->write = Now(actor);
    g->in_flight = false;
    return found;
  });
  return wrong != nullptr ? wrong : reads;
}

const char* SharedShadow::BeginCopy(int byte, int bytes, Actor actor) {
  const char* wrong = Write(byte, bytes, actor);
  ForEach(byte, bytes, [](Granule* g) -> const char* {
    g->in_flight = true;
    return nullptr;
  });
  return wrong;
}

void SharedShadow::EndCopy(int byte, int bytes, Actor actor) {
  ForEach(byte, bytes, [&](Granule* g) -> const char* {
    g->write = Now(actor);
    g->in_flight = false;
    return nullptr;
  });
}

void SharedShadow::EndBox(int byte, int bytes, int slot, uint32_t phase) {
  const Actor box = {Actor::kBox, static_cast<int16_t>(slot)};
  ForEach(byte, bytes, [&](Granule* g) -> const char* {
    g->write = {block_time_, phase, 0, box};
    g->in_flight = false;
    return nullptr;
  });
}

const char* SharedShadow::BeginProductRead(int byte, int bytes, int warp,
                                           int64_t group) {
  has_product_reads_ = true;
  ReadOfPart(byte / kPartBytes, warp) = {ProductRead::kUnderWay, group, 0};
  const Actor actor = {Actor::kTogether, static_cast<int16_t>(warp)};
  return ForEach(byte, bytes, [&](Granule* g) -> const char* {
    if (!OfThisBlock(g->write)) {
      return "multiplies shared memory that nobody has written";
    }
    if (g->in_flight) {
      return "multiplies shared memory under an asynchronous copy without a "
             "wait";
    }
    if (!Ordered(g->write, actor)) {
      return "multiplies shared memory that another thread or a box wrote, no "
             "barrier or wait between";
    }
    const int16_t thread = g->write.actor.thread;
    if (thread >= 0 &&
        fences_[static_cast<size_t>(thread)] <= g->write.fences) {
      return "multiplies shared memory that a thread wrote, no FenceAsync "
             "behind";
    }
    return nullptr;
  });
}

void SharedShadow::EndProductReads(int warp, int64_t group) {
  const int parts = static_cast<int>(product_reads_.size()) / clocks_.warps();
  for (int part = 0; part < parts; ++part) {
    ProductRead& read = ReadOfPart(part, warp);
    if (read.state != ProductRead::kUnderWay || read.group > group) continue;
    read.state = ProductRead::kDone;
    read.time = clocks_.Now(warp);
  }
}

const char* SharedShadow::CheckProductReads(int byte, int bytes, Actor actor) {
  if (!has_product_reads_) return nullptr;
  const char* wrong = nullptr;
  const int last = (byte + bytes - 1) / kPartBytes;
  for (int part = byte / kPartBytes; part <= last; ++part) {
    for (int warp = 0; warp < clocks_.warps(); ++warp) {
      ProductRead& read = ReadOfPart(part, warp);
      if (read.state == ProductRead::kUnderWay) {
        wrong = "writes shared memory that a product under way reads";
      } else if (read.state == ProductRead::kDone && warp != actor.warp &&
                 !clocks_.Knows(actor.warp, warp, read.time)) {
        wrong =
            "writes shared memory that a product of another warp has read, "
            "no barrier between";
      }
      read.state = ProductRead::kNone;
    }
  }
  return wrong;
}

}  // namespace rattn::cuda
