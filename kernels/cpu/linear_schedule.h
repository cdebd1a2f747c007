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
  constexpr bool kPrepares = requires { pass.Prepare(int64_t{0}, 0); };
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

// The steps of a forward, for passes on vectors and on tiles alike. Pass has
// plan_, scratch_ and the operations on states that are named here, and makes
// this its friend. Worker buffers: state, sum.
template <typename Pass>
class ForwardSteps {
 public:
  // The state stays in the cache.
  void RunHead(int64_t task, int worker) const {
    const auto w = pass().scratch_.worker(worker);
    const MemoryPlan& plan = pass().plan_;
    for (int64_t stream = plan.streams - 1; stream >= 0; --stream) {
      pass().LoadStart(task, stream, w);
      for (int64_t s = 0; s < plan.segments; ++s) {
        const bool last = s == plan.segments - 1;
        pass().RunSegment(task, stream, s, w.state, !last || pass().EndWanted(),
                          w);
      }
      pass().StoreEnd(task, stream, w);
    }
  }

  // Sums of segments -> states at their beginnings, in place. The sums lie in
  // stream 0's places, which are overwritten last.
  void ScanSegments(int64_t task, int worker) const {
    const auto w = pass().scratch_.worker(worker);
    const MemoryPlan& plan = pass().plan_;
    for (int64_t stream = plan.streams - 1; stream >= 0; --stream) {
      pass().LoadStart(task, stream, w);
      for (int64_t s = 0; s < plan.segments; ++s) {
        pass().Copy(Kept(task, 0, s), w.sum);
        pass().Copy(w.state, Kept(task, stream, s));
        pass().AddSum(w.sum, w.state);
      }
      pass().StoreEnd(task, stream, w);
    }
  }

  void SumSegment(int64_t task, int64_t segment, int worker) const {
    const MemoryPlan& plan = pass().plan_;
    pass().SumChunks(task, plan.segment_begin(segment),
                     plan.segment_end(segment), pass().scratch_.worker(worker),
                     Kept(task, 0, segment));
  }

  // The states at its beginning lie in their places.
  void RunSegments(int64_t task, int64_t segment, int worker) const {
    for (int64_t stream = pass().plan_.streams - 1; stream >= 0; --stream) {
      pass().RunSegment(task, stream, segment, Kept(task, stream, segment),
                        false, pass().scratch_.worker(worker));
    }
  }

 private:
  const Pass& pass() const { return static_cast<const Pass&>(*this); }
  float* Kept(int64_t task, int64_t stream, int64_t segment) const {
    return pass().scratch_.kept(task * pass().plan_.streams + stream, segment);
  }
};

// The same of a backward: states forwards, gradients backwards. Worker buffers
// beside those of a forward: d_state, d_sum.
template <typename Pass>
class BackwardSteps {
 public:
  void RunHead(int64_t task, int worker) const {
    const auto w = pass().scratch_.worker(worker);
    const MemoryPlan& plan = pass().plan_;
    const auto kept = [&](int64_t s) {
      return pass().scratch_.kept(worker, s);
    };
    for (int64_t stream = plan.streams - 1; stream >= 0; --stream) {
      pass().LoadStart(task, stream, w);
      for (int64_t s = 0; s < plan.segments; ++s) {
        pass().Copy(w.state, kept(s));
        if (s + 1 == plan.segments) break;
        pass().SumChunks(task, plan.segment_begin(s), plan.segment_end(s), w,
                         w.sum);
        pass().AddSum(w.sum, w.state);
      }
      pass().LoadEndGrad(task, stream, w);
      for (int64_t s = plan.segments - 1; s >= 0; --s) {
        pass().RunSegment(task, stream, s, kept(s), w.d_state,
                          s > 0 || pass().StartGradWanted(), w);
      }
      pass().StoreStartGrad(task, stream, w);
    }
  }

  // What a segment's tokens add to the state, and its queries to the gradient.
  void SumSegment(int64_t task, int64_t segment, int worker) const {
    const auto w = pass().scratch_.worker(worker);
    const MemoryPlan& plan = pass().plan_;
    pass().SumChunks(task, plan.segment_begin(segment),
                     plan.segment_end(segment), w, Kept(task, 0, segment));
    for (int64_t stream = plan.streams - 1; stream >= 0; --stream) {
      pass().SumGrads(task, stream, segment, w,
                      KeptGrad(task, stream, segment));
    }
  }

  // Sums -> states at the beginnings and gradients at the ends of segments, in
  // place; the states' sums lie in stream 0's places.
  void ScanSegments(int64_t task, int worker) const {
    const auto w = pass().scratch_.worker(worker);
    const MemoryPlan& plan = pass().plan_;
    for (int64_t stream = plan.streams - 1; stream >= 0; --stream) {
      pass().LoadStart(task, stream, w);
      for (int64_t s = 0; s < plan.segments; ++s) {
        pass().Copy(Kept(task, 0, s), w.sum);
        pass().Copy(w.state, Kept(task, stream, s));
        pass().AddSum(w.sum, w.state);
      }
      pass().LoadEndGrad(task, stream, w);
      for (int64_t s = plan.segments - 1; s >= 0; --s) {
        pass().Copy(KeptGrad(task, stream, s), w.d_sum);
        pass().Copy(w.d_state, KeptGrad(task, stream, s));
        pass().AddSum(w.d_sum, w.d_state);
      }
      pass().StoreStartGrad(task, stream, w);
    }
  }

  // States and gradients at its ends lie in their places.
  void RunSegments(int64_t task, int64_t segment, int worker) const {
    for (int64_t stream = pass().plan_.streams - 1; stream >= 0; --stream) {
      pass().RunSegment(task, stream, segment, Kept(task, stream, segment),
                        KeptGrad(task, stream, segment), false,
                        pass().scratch_.worker(worker));
    }
  }

 private:
  const Pass& pass() const { return static_cast<const Pass&>(*this); }
  // Places of kept states, and of kept gradients, where segments are split.
  float* Kept(int64_t task, int64_t stream, int64_t segment) const {
    return pass().scratch_.kept(task * pass().plan_.streams + stream, segment);
  }
  float* KeptGrad(int64_t task, int64_t stream, int64_t segment) const {
    return Kept(pass().plan_.heads_of_kv() + task, stream, segment);
  }
};

}  // namespace rattn
