// Threads of the cpu backend.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "kernels/arena.h"

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

}  // namespace rattn
