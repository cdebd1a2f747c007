#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_scope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_linear_forward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear_forward-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Rows go to a view as they are.
struct PlainSink {
  TensorView out;
  float scale;
  void Begin(int64_t, int64_t, const MemoryChunk&,
             const Bf16ForwardWorker&) const {}
  void Row(int64_t b, int64_t t, int64_t h, const float* tiles,
           const Bf16ForwardWorker& w) const {
    StoreTileRow(tiles, kResultTile, _mm512_set1_ps(scale), out, b, t, h,
                 w.row);
  }
};

void RunBf16LinearForward(const Problem& problem, const Buffers& buffers,
                          const TensorView& out, Workspace workspace) {
  const Bf16LinearPlan plan(problem);
  Arena arena(workspace.data);
  const Bf16LinearScratch<Bf16ForwardWorker> scratch(plan, ForwardSlots(plan),
                                                     &arena);
  const PlainSink sink{out, static_cast<float>(problem.memory_scale)};
  RunMemoryPass<TileScope>(
      problem.threads, plan,
      Bf16LinearForwardPass(problem, buffers, sink, plan, scratch));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {
namespace {

// New tokens on a cache from which on tiles are faster: rattention, W 512, Hq
// 16, Hkv 4, D 128 on AVX-512 BF16 against AVX-512: 8 tokens 258 us against
// 182, 16 314 against 303, 32 421 against 584.
constexpr int64_t kLeastExtension = 16;

}  // namespace

Bf16LinearPlan::Bf16LinearPlan(const Problem& problem)
    : MemoryPlan(MakeMemoryPlan(problem, TilePath::kTiles)),
      places((chunk + kStrip - 1) / kStrip * kStrip),
      depth((features + 31) / 32 * 32),
      width((value_dim + 31) / 32 * 32) {}

bool UsesBf16Linear(const Problem& problem) {
  if (problem.phase == Phase::kExtend &&
      problem.shape.query_len < kLeastExtension) {
    return false;
  }
  return FitsTiles(problem) &&
         problem.spec.memory.normalizer == Normalizer::kNone;
}

size_t Bf16LinearBytes(const Problem& problem) {
  const Bf16LinearPlan plan(problem);
  const size_t forward = BytesOf([&](Arena* arena) {
    Bf16LinearScratch<Bf16ForwardWorker>(plan, ForwardSlots(plan), arena);
  });
  if (problem.phase != Phase::kTrain) return forward;
  return std::max(forward, BytesOf([&](Arena* arena) {
                    Bf16LinearScratch<Bf16BackwardWorker>(
                        plan, BackwardSlots(plan), arena);
                  }));
}

void Bf16LinearForward([[maybe_unused]] const Problem& problem,
                       [[maybe_unused]] const Buffers& buffers,
                       [[maybe_unused]] const TensorView& out,
                       [[maybe_unused]] Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::RunBf16LinearForward(problem, buffers, out, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
