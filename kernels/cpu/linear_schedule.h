// How the passes of linear attention divide their work among threads: by KV
// heads, or, where those are too few, by segments of them as well
// (linear_plan.h).
#pragma once

#include "kernels/cpu/linear_plan.h"
#include "kernels/cpu/parallel.h"

namespace rattn {

// A pass has, for a task (a KV head of a sequence) and a worker's index:
//   Prepare(task, worker)              optional: before all else
//   RunHead(task, worker)              all segments in order
//   SumSegment(task, segment, worker)  what a segment adds to states
//   ScanSegments(task, worker)         sums -> states where segments begin
//   RunSegments(task, segment, worker) a segment of all streams
template <typename Scope = NoScope, typename Pass>
void RunMemoryPass(int threads, const MemoryPlan& plan, const Pass& pass) {
  constexpr bool kPrepares =
      requires { pass.Prepare(int64_t{0}, 0); };
  const int64_t tasks = plan.heads_of_kv();
  const auto prepare = [&](int64_t task, int worker) {
    if constexpr (kPrepares) pass.Prepare(task, worker);
  };
  if (!plan.split_segments) {
    ParallelFor<Scope>(threads, tasks, [&](int64_t task, int worker) {
      prepare(task, worker);
      pass.RunHead(task, worker);
    });
    return;
  }
  const int64_t pieces = tasks * plan.segments;
  if (kPrepares) ParallelFor(threads, tasks, prepare);
  ParallelFor<Scope>(threads, pieces, [&](int64_t piece, int worker) {
    pass.SumSegment(piece / plan.segments, piece % plan.segments, worker);
  });
  ParallelFor(threads, tasks, [&](int64_t task, int worker) {
    pass.ScanSegments(task, worker);
  });
  ParallelFor<Scope>(threads, pieces, [&](int64_t piece, int worker) {
    pass.RunSegments(piece / plan.segments, piece % plan.segments, worker);
  });
}

}  // namespace rattn
