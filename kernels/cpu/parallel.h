// Threads and scratch memory of the cpu backend.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// What a thread holds while it works on tasks: nothing.
struct NoScope {};

// Calls body(task, thread) for every task in [0, tasks), on at most `threads`
// threads (thread < threads). Tasks are handed out as threads become free, so
// results must not depend on the thread. No team is made for one thread. Every
// thread keeps a Scope while it works.
template <typename Scope = NoScope, typename Body>
void ParallelFor(int threads, int64_t tasks, const Body& body) {
  const int team = static_cast<int>(std::min<int64_t>(threads, tasks));
  if (team <= 1) {
    [[maybe_unused]] const Scope scope;
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
#pragma omp parallel num_threads(team)
  {
    [[maybe_unused]] const Scope scope;
    const int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < tasks; ++task) body(task, thread);
  }
}

// Hands out cache-line aligned pieces of a workspace. On a null base it only
// counts, so that the query for the size and the use are the same code.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<std::byte*>(base)) {}

  template <typename T>
  T* Take(int64_t count) {
    used_ = (used_ + kLine - 1) / kLine * kLine;
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += static_cast<size_t>(count) * sizeof(T);
    return reinterpret_cast<T*>(at);
  }
  size_t used() const { return used_; }
  // What the arena has not handed out of `workspace`, on which it stands.
  Workspace Rest(Workspace workspace) const {
    const size_t used = (used_ + kLine - 1) / kLine * kLine;
    return {base_ + used, workspace.bytes - used};
  }

 private:
  static constexpr size_t kLine = 64;
  std::byte* base_;
  size_t used_ = 0;
};

// Whole cache lines that take(Arena*) takes.
template <typename Take>
size_t BytesOf(const Take& take) {
  Arena arena(nullptr);
  take(&arena);
  arena.Take<std::byte>(0);
  return arena.used();
}

}  // namespace rattn
