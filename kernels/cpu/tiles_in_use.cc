#include "kernels/cpu/tiles_in_use.h"

#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/bf16_linear_scratch.h"
#include "kernels/cpu/bf16_softmax.h"
#include "kernels/cpu/linear_scratch.h"

namespace rattn {
namespace {

TilePath PathIf(bool tiles) {
  return tiles ? TilePath::kTiles : TilePath::kVectors;
}

// At the beginnings of segments in fp32, and inside one per worker.
template <typename Plan>
int64_t KeptBytes(const Plan& plan, int64_t slots, int64_t state_values,
                  int64_t inner_bytes) {
  return slots * plan.segments * state_values * 4 +
         plan.workers * (plan.every - 1) * state_values * inner_bytes;
}

int64_t KeptStateBytes(const Problem& problem, TilePath path) {
  if (problem.phase != Phase::kTrain) return 0;
  if (path == TilePath::kTiles) {
    const Bf16LinearPlan plan(problem);
    return KeptBytes(plan, BackwardSlots(plan), plan.state_floats(), 2);
  }
  const MemoryPlan plan = MakeMemoryPlan(problem);
  const int64_t slots = plan.split_segments
                            ? 2 * plan.heads_of_kv() * plan.streams
                            : plan.workers;
  return KeptBytes(plan, slots, plan.state_size(), 4);
}

}  // namespace

TilesInUse TilesOf(const Problem& problem) {
  TilesInUse use = {PathIf(UsesBf16Softmax(problem)),
                    PathIf(UsesBf16SoftmaxBackward(problem)),
                    PathIf(UsesBf16Linear(problem)),
                    {}};
  if (HasLocal(problem.spec)) {
    use.sizes.forward_rows =
        TileSizesOf(use.forward_path, problem).forward_rows;
    use.sizes.backward_rows =
        TileSizesOf(use.backward_path, problem).backward_rows;
  }
  if (!HasMemory(problem.spec)) return use;
  const MemoryPlan plan = MakeMemoryPlan(problem, use.memory_path);
  use.sizes.chunk = plan.chunk;
  use.sizes.state_every = plan.every;
  use.kept_state_bytes = KeptStateBytes(problem, use.memory_path);
  return use;
}

}  // namespace rattn
