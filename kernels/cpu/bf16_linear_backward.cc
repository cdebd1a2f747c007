// The gradients of linear_backward.cc on tiles, with its names:
//   dphi(q) = R S^T + B phi(k)       dphi(k) = v dS^T + B^T phi(q)
//   dv      = phi(k) dS + A^T R      dS^T   += R^T phi(q)
#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_scope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_linear_backward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear_block-inl.h"
#include "kernels/cpu/linear_schedule.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

class Bf16LinearBackwardPass : Bf16BlockPass,
                               public BackwardSteps<Bf16LinearBackwardPass> {
 public:
  Bf16LinearBackwardPass(const Problem& problem, const Buffers& buffers,
                         const TensorView& d_out, const BranchGrads& grads,
                         const Bf16LinearPlan& plan,
                         const Bf16LinearScratch<Bf16BackwardWorker>& scratch)
      : Bf16BlockPass(problem, buffers, d_out, grads, plan),
        scratch_(scratch),
        d_final_state_(buffers.d_final_state),
        d_initial_state_(buffers.d_initial_state) {}

  void Prepare(int64_t task, int worker) const {
    const Bf16BackwardWorker w = scratch_.worker(worker);
    ZeroUnread(task, w);
  }

 private:
  friend class BackwardSteps<Bf16LinearBackwardPass>;

  void LoadStart(int64_t task, int64_t stream,
                 const Bf16BackwardWorker& w) const {
    LoadState(initial_state_, task, stream, w, w.state);
  }
  void LoadEndGrad(int64_t task, int64_t stream,
                   const Bf16BackwardWorker& w) const {
    LoadState(d_final_state_, task, stream, w, w.d_state);
  }
  void StoreStartGrad(int64_t task, int64_t stream,
                      const Bf16BackwardWorker& w) const {
    StoreState(w.d_state, d_initial_state_, task, stream, w);
  }
  bool StartGradWanted() const { return bool{d_initial_state_}; }

  void SumGrads(int64_t task, int64_t stream, int64_t segment,
                const Bf16BackwardWorker& w, float* d_sum) const {
    Clear(d_sum);
    for (int64_t c = plan_.segment_end(segment) - 1;
         c >= plan_.segment_begin(segment); --c) {
      ForEachBlock(task, stream, ChunkAt(plan_, c), w,
                   [&](const Block& block) { AbsorbGrad(block, w, d_sum); });
    }
  }

  // Tokens that no query reads get no gradient.
  void ZeroUnread(int64_t task, const Bf16BackwardWorker& w) const {
    const int64_t unread = plan_.keys - plan_.tokens;
    std::fill_n(w.row, std::max(plan_.depth, plan_.width), 0.f);
    if (!grads_.accumulate_k && grads_.dk) {
      StoreRows(w.row, 0, grads_.dk, batch(task), plan_.tokens, unread,
                kv(task), false);
    }
    if (!grads_.accumulate_v && grads_.dv) {
      StoreRows(w.row, 0, grads_.dv, batch(task), plan_.tokens, unread,
                kv(task), false);
    }
  }

  // Gradients of a segment from the state at its beginning and dS at its end;
  // with `advance` dS is then moved to its beginning.
  void RunSegment(int64_t task, int64_t stream, int64_t segment,
                  const float* state, float* d_state, bool advance,
                  const Bf16BackwardWorker& w) const {
    const int64_t begin = plan_.segment_begin(segment);
    const int64_t end = plan_.segment_end(segment);
    if (plan_.readers(kv(task), stream).size() > 0) {
      KeepStates(task, begin, end, state, w);
    }
    Clear(w.d_sum);
    for (int64_t c = end - 1; c >= begin; --c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      if (c > begin) {
        std::copy_n(ChunkState(c - begin, w), plan_.state_floats(),
                    w.state_rows);
      } else {
        RoundRows(state, nullptr, w.state_rows);
      }
      const bool has_after = d_final_state_ || c + 1 < plan_.chunks;
      const float* d_sum = c + 1 < end ? w.d_sum : nullptr;
      LoadTokens(task, chunk, w);
      StartTokens(chunk, has_after ? d_state : nullptr, d_sum, w);
      ForEachBlock(task, stream, chunk, w, [&](const Block& block) {
        RunBlock(block, HasState(chunk), w);
        if (c > begin || advance) AbsorbGrad(block, w, w.d_sum);
      });
      StoreTokens(task, stream, chunk, w);
    }
    if (advance) AddSum(w.d_sum, d_state);
  }

  Bf16* ChunkState(int64_t chunk, const Bf16BackwardWorker& w) const {
    return w.chunk_states + (chunk - 1) * plan_.state_floats();
  }

  // States before the chunks of a segment but its first.
  void KeepStates(int64_t task, int64_t begin, int64_t end, const float* state,
                  const Bf16BackwardWorker& w) const {
    for (int64_t c = begin; c + 1 < end; ++c) {
      SumChunk(task, c, c > begin, w);
      RoundRows(state, w.sum, ChunkState(c + 1 - begin, w));
    }
  }
  void SumChunk(int64_t task, int64_t c, bool add,
                const Bf16BackwardWorker& w) const {
    const MemoryChunk chunk = ChunkAt(plan_, c);
    LoadTokens(task, chunk, w);
    Absorb(chunk, w, add, w.sum);
  }

  // d_keys and d_values from the state's gradient after the chunk, and the
  // tokens as operands of RunBlock.
  void StartTokens(const MemoryChunk& chunk, const float* d_state,
                   const float* d_sum, const Bf16BackwardWorker& w) const {
    const int64_t strips = Strips(chunk.tokens), rows = strips * kStrip;
    PackLeftRows(w.keys, rows, plan_.depth, w.key_left);
    PackLeftRows(w.values, rows, plan_.width, w.value_left);
    PackRightColumns(w.values, rows, plan_.width, w.value_columns);
    if (d_state == nullptr) {
      std::fill_n(w.d_keys, rows * plan_.depth, 0.f);
      std::fill_n(w.d_values, rows * plan_.width, 0.f);
      return;
    }
    RoundRows(d_state, d_sum, w.d_state_rows);
    RoundColumns(d_state, d_sum, w.d_state_columns);
    TileGemm<false>(2 * strips, feature_tiles(), value_groups(),
                    DepthInner(w.value_left, value_groups()),
                    DepthOuter(w.d_state_rows, feature_tiles()),
                    Result(w.d_keys, feature_tiles()));
    TileGemm<false>(2 * strips, value_tiles(), feature_groups(),
                    DepthInner(w.key_left, feature_groups()),
                    DepthOuter(w.d_state_columns, value_tiles()),
                    Result(w.d_values, value_tiles()));
  }

  void StoreTokens(int64_t task, int64_t stream, const MemoryChunk& chunk,
                   const Bf16BackwardWorker& w) const {
    const bool add = stream + 1 < plan_.streams;
    for (int64_t i = 0; i < chunk.tokens; ++i) {
      const int64_t t = chunk.token_begin + i;
      StoreFeatureGrad(w.keys + i * plan_.depth,
                       ResultRow(w.d_keys, plan_.depth, i), grads_.dk,
                       batch(task), t, kv(task), add || grads_.accumulate_k, w);
      if (!grads_.dv) continue;
      GatherRow(ResultRow(w.d_values, plan_.width, i), plan_.width, w.row);
      StoreRows(w.row, 0, grads_.dv, batch(task), t, 1, kv(task),
                add || grads_.accumulate_v);
    }
  }

  const Bf16LinearScratch<Bf16BackwardWorker>& scratch_;
  const TensorView d_final_state_, d_initial_state_;
};

void RunBf16LinearBackward(const Problem& problem, const Buffers& buffers,
                           const TensorView& d_out, const BranchGrads& grads,
                           Workspace workspace) {
  const Bf16LinearPlan plan(problem);
  Arena arena(workspace.data);
  const Bf16LinearScratch<Bf16BackwardWorker> scratch(plan, BackwardSlots(plan),
                                                      &arena);
  RunMemoryPass<TileScope>(
      problem.threads, plan,
      Bf16LinearBackwardPass(problem, buffers, d_out, grads, plan, scratch));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {

void Bf16LinearBackward([[maybe_unused]] const Problem& problem,
                        [[maybe_unused]] const Buffers& buffers,
                        [[maybe_unused]] const TensorView& d_out,
                        [[maybe_unused]] const BranchGrads& grads,
                        [[maybe_unused]] Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::RunBf16LinearBackward(problem, buffers, d_out, grads, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
