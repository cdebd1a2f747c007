// What calls take of a workspace is at most what they ask for, whatever
// tensors they are given.
#include "kernels/cuda/support.h"

#include <gtest/gtest.h>

#include "kernels/cuda/backward_plan.h"
#include "kernels/cuda/extend_plan.h"
#include "kernels/cuda/forward_plan.h"
#include "kernels/test_tensors.h"

namespace rattn::cuda {
namespace {

// Bytes that a plan takes of memory that is there.
template <class Plan, typename... More>
size_t Taken(const Problem& problem, const Buffers& buffers,
             const More&... more) {
  const AlignedBuffer memory(size_t{1} << 22);
  Arena arena(memory.data());
  NoLauncher nothing;
  Plan::Run(problem, buffers, more..., &arena, &nothing);
  EXPECT_LT(arena.used(), memory.size());
  return arena.used();
}

// Without what only training keeps.
Buffers ForInference(Buffers buffers) {
  buffers.lse = buffers.max_logits = {};
  buffers.o_local = buffers.o_memory = buffers.final_state = {};
  return buffers;
}

void CheckCache(Problem problem, int64_t tokens, int64_t length) {
  problem.shape.query_len = problem.shape.key_len = tokens;
  problem.phase = tokens == 1 ? Phase::kDecode : Phase::kExtend;
  KvCache cache(problem);
  cache.Reserve(length + tokens);
  cache.Advance(length);
  const TestTensors tensors(problem, {}, 3);
  for (const Buffers& buffers :
       {tensors.buffers, ForInference(tensors.buffers)}) {
    EXPECT_LE((Taken<ExtendPlan<Bf16, NoLauncher>>(problem, buffers,
                                                   ViewsOf(problem, cache))),
              CudaWorkspaceBytes(problem))
        << tokens << " tokens behind " << length;
  }
}

TEST(CudaWorkspace, IsEnoughWhateverTensorsAreGiven) {
  for (const Variant& variant : Catalog()) {
    SCOPED_TRACE(variant.name);
    Problem problem;
    problem.spec = TestSpec(variant, 8);
    problem.dtype = Dtype::kBF16;
    problem.shape = MakeShape(1, 2, 1, 70, 70, 16, 16);
    problem.tiling.absorb_every = 3;
    for (const int64_t tokens : {1, 40}) {
      for (const int64_t length : {0, 8, 300}) {
        CheckCache(problem, tokens, length);
      }
    }
    problem.phase = Phase::kTrain;
    const TestTensors tensors(problem, {}, 3);
    EXPECT_LE((Taken<BackwardPlan<Bf16, NoLauncher>>(problem, tensors.buffers)),
              CudaBackwardBytes(problem));
    for (const Buffers& buffers :
         {tensors.buffers, ForInference(tensors.buffers)}) {
      EXPECT_LE((Taken<ForwardPlan<Bf16, NoLauncher>>(problem, buffers)),
                CudaForwardBytes(problem));
    }
  }
}

}  // namespace
}  // namespace rattn::cuda
