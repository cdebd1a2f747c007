#include "kernels/cpu/amx.h"
#include "kernels/cpu/amx_softmax.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/amx_softmax_forward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/amx_softmax_forward-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

void AmxForward(const LocalInputs& in, const LocalOutputs& out,
                Workspace workspace) {
  const Problem& problem = *in.problem;
  const AmxForwardPlan plan(problem);
  Arena arena(workspace.data);
  const AmxForwardKeys packed(plan, &arena);
  const size_t step = BytesOf([&](Arena* a) { AmxForwardScratch(plan, a); });
  std::byte* scratch = arena.Take<std::byte>(step * problem.threads);
  const auto own = [&](int thread) {
    Arena mine(scratch + thread * step);
    return AmxForwardScratch(plan, &mine);
  };
  PackAllKeys(in, plan, packed, own);
  ParallelFor<AmxTiles>(
      problem.threads, BlockTasks(problem, plan.local),
      [&](int64_t task, int thread) HWY_ATTR {
        const AmxForwardScratch s = own(thread);
        const QueryBlock block = BlockOfTask(in, plan.local, task);
        if (block.rows > 0)
          AmxSoftmaxForwardPass(in, out, packed, s).Run(block);
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {

bool UsesAmxSoftmax(const Problem& problem) {
  return problem.dtype == Dtype::kBF16 && TilesOn() &&
         (problem.phase == Phase::kForward || problem.phase == Phase::kTrain);
}

size_t AmxSoftmaxForwardBytes(const Problem& problem) {
  const AmxForwardPlan plan(problem);
  const size_t step =
      BytesOf([&](Arena* arena) { AmxForwardScratch(plan, arena); });
  return step * problem.threads +
         BytesOf([&](Arena* arena) { AmxForwardKeys(plan, arena); });
}

void AmxSoftmaxForward(const LocalInputs& inputs, const LocalOutputs& outputs,
                       Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::AmxForward(inputs, outputs, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
