#include "kernels/cpu/bf16_softmax.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_scope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_softmax_forward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_softmax_forward-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

void Bf16Forward(const LocalInputs& in, const LocalOutputs& out,
                 Workspace workspace) {
  const Problem& problem = *in.problem;
  const Bf16ForwardPlan plan(problem);
  Arena arena(workspace.data);
  const Bf16ForwardKeys packed(plan, PackedGroups(plan), &arena);
  const size_t step = BytesOf([&](Arena* a) { Bf16ForwardScratch(plan, a); });
  std::byte* scratch = arena.Take<std::byte>(step * problem.threads);
  const auto own = [&](int thread) {
    Arena mine(scratch + thread * step);
    return Bf16ForwardScratch(plan, &mine);
  };
  if (!plan.on_cache) PackAllKeys(in, plan, packed, own);
  ParallelFor<TileScope>(
      problem.threads, BlockTasks(problem, plan.local),
      [&](int64_t task, int thread) HWY_ATTR {
        const Bf16ForwardScratch s = own(thread);
        const QueryBlock block = BlockOfTask(in, plan.local, task);
        if (block.rows > 0)
          Bf16SoftmaxForwardPass(in, out, packed, s).Run(block);
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {

bool UsesBf16Softmax(const Problem& problem) { return FitsTiles(problem); }

size_t Bf16SoftmaxForwardBytes(const Problem& problem) {
  const Bf16ForwardPlan plan(problem);
  const size_t step =
      BytesOf([&](Arena* arena) { Bf16ForwardScratch(plan, arena); });
  return step * problem.threads + BytesOf([&](Arena* arena) {
           Bf16ForwardKeys(plan, PackedGroups(plan), arena);
         });
}

void Bf16SoftmaxForward([[maybe_unused]] const LocalInputs& inputs,
                        [[maybe_unused]] const LocalOutputs& outputs,
                        [[maybe_unused]] Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::Bf16Forward(inputs, outputs, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
