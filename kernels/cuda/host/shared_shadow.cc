#include "kernels/cuda/host/shared_shadow.h"

#include <cstddef>

namespace rattn::cuda {

SharedShadow::SharedShadow(int bytes, int warps)
    : granules_(
          static_cast<size_t>((bytes + kGranuleBytes - 1) / kGranuleBytes)),
      warp_time_(static_cast<size_t>(warps), 1) {}

void SharedShadow::BeginBlock() { first_time_ = ++block_time_; }

SharedShadow::Access SharedShadow::Now(Actor actor) const {
  return {block_time_, warp_time_[static_cast<size_t>(actor.warp)], actor};
}

bool SharedShadow::Ordered(const Access& before, Actor actor) const {
  if (before.block_time < block_time_) return true;
  if (before.actor.warp != actor.warp) return false;
  if (before.warp_time < warp_time_[static_cast<size_t>(actor.warp)]) {
    return true;
  }
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
  return ForEach(byte, bytes, [&](Granule* g) {
    const char* wrong = CheckWrite(*g, actor);
    g->write = Now(actor);
    g->in_flight = false;
    return wrong;
  });
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

}  // namespace rattn::cuda
