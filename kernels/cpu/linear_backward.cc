// MemoryBackward: states are kept at the beginnings of segments, recomputed
// inside them, and the gradient dS runs from the last chunk to the first.
//
// One chunk, with S before it, dS after it, R = d_out, A = mask(phi(q)
// phi(k)^T), B = mask(R v^T):
//   dphi(q) = R S^T + B phi(k)       dphi(k) = v dS^T + B^T phi(q)
//   dv      = phi(k) dS + A^T R      dS     += phi(q)^T R
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_backward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/branch.h"
#include "kernels/cpu/linear_blocks-inl.h"
#include "kernels/cpu/linear_schedule.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

class BackwardPass : TokenPass, public BackwardSteps<BackwardPass> {
 public:
  BackwardPass(const Problem& problem, const Buffers& buffers, TensorView out,
               TensorView d_out, const BranchGrads& grads,
               const MemoryPlan& plan, const BackwardScratch& scratch)
      : TokenPass(problem, buffers, TensorView(), plan),
        scratch_(scratch),
        scale_(static_cast<float>(problem.memory_scale)),
        q_(buffers.q_memory ? buffers.q_memory : buffers.q),
        out_(out),
        d_out_(d_out),
        d_final_state_(buffers.d_final_state),
        d_initial_state_(buffers.d_initial_state),
        grads_(grads) {}

  void Prepare(int64_t task, int worker) const {
    const BackwardWorker w = scratch_.worker(worker);
    ZeroUnread(task, w);
    if (normalized()) FindDenominators(task, w);
  }

 private:
  friend class BackwardSteps<BackwardPass>;

  void LoadStart(int64_t task, int64_t stream, const BackwardWorker& w) const {
    LoadState(initial_state_, key_sum_, task, stream, w.state);
  }
  void LoadEndGrad(int64_t task, int64_t stream,
                   const BackwardWorker& w) const {
    LoadState(d_final_state_, TensorView(), task, stream, w.d_state);
  }
  void StoreStartGrad(int64_t task, int64_t stream,
                      const BackwardWorker& w) const {
    StoreState(w.d_state, d_initial_state_, TensorView(), task, stream);
  }
  bool StartGradWanted() const { return bool{d_initial_state_}; }

  void SumGrads(int64_t task, int64_t stream, int64_t segment,
                const BackwardWorker& w, float* d_sum) const {
    const HeadRange heads = plan_.readers(kv(task), stream);
    Clear(d_sum);
    for (int64_t c = plan_.segment_end(segment) - 1;
         c >= plan_.segment_begin(segment); --c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      for (int64_t h = heads.begin; h < heads.end; ++h) {
        LoadQueries(batch(task), h, chunk, w);
        AbsorbGrad(chunk, w, d_sum);
      }
    }
  }

  bool normalized() const { return plan_.columns > plan_.value_dim; }
  float* Denominator(int64_t b, int64_t h) const {
    const int64_t query_heads = plan_.kv_heads * plan_.group;
    return scratch_.denominators + (b * query_heads + h) * plan_.queries;
  }

  // Tokens that no query reads get no gradient.
  void ZeroUnread(int64_t task, const BackwardWorker& w) const {
    const int64_t unread = plan_.keys - plan_.tokens;
    std::fill(w.row, w.row + std::max(plan_.head_dim, plan_.value_dim), 0.f);
    if (!grads_.accumulate_k && grads_.dk) {
      StoreRows(w.row, 0, grads_.dk, batch(task), plan_.tokens, unread,
                kv(task), false);
    }
    if (!grads_.accumulate_v && grads_.dv) {
      StoreRows(w.row, 0, grads_.dv, batch(task), plan_.tokens, unread,
                kv(task), false);
    }
  }

  // phi(q) . sum phi(k) of every query. The sum before a chunk and that inside
  // it stay apart, which keeps fp32 accurate over long sequences.
  void FindDenominators(int64_t task, const BackwardWorker& w) const {
    const int64_t features = plan_.features;
    float* before = w.sum;
    float* inside = w.sum + features;
    std::fill(before, before + features, 0.f);
    for (int64_t c = 0; c < plan_.chunks; ++c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      LoadFeatures(map_, k_, batch(task), chunk.token_begin, chunk.tokens,
                   kv(task), w.row, w.keys, features);
      std::fill(inside, inside + features, 0.f);
      int64_t taken = 0;
      for (int64_t i = 0; i < chunk.queries; ++i) {
        for (; taken < std::min(chunk.row + i + 1, chunk.tokens); ++taken) {
          ScaleRow(1.f, w.keys + taken * features, features, inside, true);
        }
        FindDenominatorsAt(task, chunk.query_begin + i, before, inside, w);
      }
      for (; taken < chunk.tokens; ++taken) {
        ScaleRow(1.f, w.keys + taken * features, features, inside, true);
      }
      ScaleRow(1.f, inside, features, before, true);
    }
  }

  void FindDenominatorsAt(int64_t task, int64_t query, const float* before,
                          const float* inside, const BackwardWorker& w) const {
    const int64_t first = kv(task) * plan_.group;
    const int64_t begin = std::max(first, plan_.heads.begin);
    const int64_t end = std::min(first + plan_.group, plan_.heads.end);
    for (int64_t h = begin; h < end; ++h) {
      LoadFeatures(map_, q_, batch(task), query, 1, h, w.row, w.queries,
                   plan_.features);
      Denominator(batch(task), h)[query] =
          Dot(w.queries, before, plan_.features) +
          Dot(w.queries, inside, plan_.features);
    }
  }

  // Gradients of a segment from the state at its beginning and dS at its end;
  // with `advance` dS is then moved to its beginning.
  void RunSegment(int64_t task, int64_t stream, int64_t segment,
                  const float* state, float* d_state, bool advance,
                  const BackwardWorker& w) const {
    const int64_t begin = plan_.segment_begin(segment);
    const int64_t end = plan_.segment_end(segment);
    const bool read = plan_.readers(kv(task), stream).size() > 0;
    Clear(w.sum);
    for (int64_t c = begin; read && c + 1 < end; ++c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      LoadTokens(task, chunk, w);
      Absorb(chunk, w, w.sum);
      Add(state, w.sum, w.chunk_states + (c - begin) * plan_.state_size());
    }
    Clear(w.d_sum);
    for (int64_t c = end - 1; c >= begin; --c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      const float* before =
          c == begin ? state
                     : w.chunk_states + (c - begin - 1) * plan_.state_size();
      if (!start_known() && chunk.token_begin == 0) before = nullptr;
      const float* d_after = d_state;
      if (c + 1 < end) {
        Add(d_state, w.d_sum, w.d_chunk_state);
        d_after = w.d_chunk_state;
      }
      if (!d_final_state_ && c + 1 == plan_.chunks) d_after = nullptr;
      RunChunk(task, stream, chunk, before, d_after, c > begin || advance, w);
    }
    if (advance) Add(d_state, w.d_sum, d_state);
  }

  // All gradients of one chunk; nullptr states are zero.
  void RunChunk(int64_t task, int64_t stream, const MemoryChunk& chunk,
                const float* state, const float* d_state, bool advance,
                const BackwardWorker& w) const {
    const int64_t features = plan_.features, ld = plan_.state_ld;
    LoadTokens(task, chunk, w);
    Transpose(chunk.tokens, plan_.columns, w.values, ld, w.values_t,
              plan_.chunk_ld);
    if (d_state != nullptr) {
      GemmNT(chunk.tokens, features, plan_.columns, w.values, ld, d_state, ld,
             w.d_keys, features, false);
      GemmNN(chunk.tokens, plan_.value_dim, features, w.keys, features, d_state,
             ld, w.d_values, ld, false);
    } else {
      std::fill(w.d_keys, w.d_keys + chunk.tokens * features, 0.f);
      std::fill(w.d_values, w.d_values + chunk.tokens * ld, 0.f);
    }
    if (state != nullptr) {
      Transpose(features, plan_.columns, state, ld, w.state_t, features);
    }
    const HeadRange heads = plan_.readers(kv(task), stream);
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      RunQueries(batch(task), h, chunk, state != nullptr, w);
      if (advance) AbsorbGrad(chunk, w, w.d_sum);
    }
    const bool add = stream + 1 < plan_.streams;
    StoreFeatureGrads(w.keys, w.d_keys, chunk.tokens, grads_.dk, batch(task),
                      chunk.token_begin, kv(task), add || grads_.accumulate_k,
                      w);
    if (grads_.dv) {
      StoreRows(w.d_values, ld, grads_.dv, batch(task), chunk.token_begin,
                chunk.tokens, kv(task), add || grads_.accumulate_v);
    }
  }

  // dq of one head's queries in a chunk, and their share of d_keys, d_values.
  void RunQueries(int64_t b, int64_t h, const MemoryChunk& chunk,
                  bool has_state, const BackwardWorker& w) const {
    if (chunk.queries == 0) return;
    const int64_t features = plan_.features, ld = plan_.state_ld;
    LoadQueries(b, h, chunk, w);
    if (has_state) {
      GemmNN(chunk.queries, features, plan_.columns, w.d_read, ld, w.state_t,
             features, w.d_queries, features, false);
    } else if (chunk.tokens == 0) {
      std::fill(w.d_queries, w.d_queries + chunk.queries * features, 0.f);
    }
    for (int64_t r = 0; chunk.tokens > 0 && r < chunk.queries;
         r += kScoreRows) {
      RunScores(chunk, r, has_state, w);
    }
    StoreFeatureGrads(w.queries, w.d_queries, chunk.queries, grads_.dq, b,
                      chunk.query_begin, h, grads_.accumulate_q, w);
  }

  // The part inside the chunk, for the queries from row r on.
  void RunScores(const MemoryChunk& chunk, int64_t r, bool has_state,
                 const BackwardWorker& w) const {
    const int64_t features = plan_.features, ld = plan_.state_ld;
    const int64_t chunk_ld = plan_.chunk_ld;
    const int64_t rows = std::min(kScoreRows, chunk.queries - r);
    const int64_t place = chunk.row + r;
    const int64_t seen = place + rows;
    const float* queries = w.queries + r * features;
    const float* d_read = w.d_read + r * ld;
    GemmNN(rows, seen, features, queries, features, w.keys_t, chunk_ld,
           w.scores, chunk_ld, false);
    MaskFuture(place, rows, seen, w.scores, chunk_ld);
    GemmNN(rows, seen, plan_.columns, d_read, ld, w.values_t, chunk_ld,
           w.d_scores, chunk_ld, false);
    MaskFuture(place, rows, seen, w.d_scores, chunk_ld);
    GemmNN(rows, features, seen, w.d_scores, chunk_ld, w.keys, features,
           w.d_queries + r * features, features, has_state);
    GemmTN(seen, features, rows, w.d_scores, chunk_ld, queries, features,
           w.d_keys, features, true);
    GemmTN(seen, plan_.value_dim, rows, w.scores, chunk_ld, d_read, ld,
           w.d_values, ld, true);
  }

  // phi(q), and the gradient of the state's read: d_out times memory_scale,
  // and through the division by the denominator where there is one.
  void LoadQueries(int64_t b, int64_t h, const MemoryChunk& chunk,
                   const BackwardWorker& w) const {
    LoadFeatures(map_, q_, b, chunk.query_begin, chunk.queries, h, w.row,
                 w.queries, plan_.features);
    LoadRows(d_out_, b, chunk.query_begin, chunk.queries, h,
             normalized() ? 1.f : scale_, w.d_read, plan_.state_ld);
    for (int64_t i = 0; normalized() && i < chunk.queries; ++i) {
      const int64_t query = chunk.query_begin + i;
      const float inverse =
          1.f / (scale_ * Denominator(b, h)[query] + kEpsilon);
      float* d_read = w.d_read + i * plan_.state_ld;
      LoadRows(out_, b, query, 1, h, 1.f, w.row, plan_.value_dim);
      const float along = Dot(d_read, w.row, plan_.value_dim);
      ScaleRow(scale_ * inverse, d_read, plan_.value_dim, d_read, false);
      d_read[plan_.value_dim] = -scale_ * along * inverse;
    }
  }

  void AbsorbGrad(const MemoryChunk& chunk, const BackwardWorker& w,
                  float* d_sum) const {
    GemmTN(plan_.features, plan_.columns, chunk.queries, w.queries,
           plan_.features, w.d_read, plan_.state_ld, d_sum, plan_.state_ld,
           true);
  }

  void StoreFeatureGrads(const float* phi, const float* d_phi, int64_t count,
                         const TensorView& grad, int64_t b, int64_t first,
                         int64_t h, bool accumulate,
                         const BackwardWorker& w) const {
    for (int64_t i = 0; grad && i < count; ++i) {
      FeatureRowGrad(map_, phi + i * plan_.features, d_phi + i * plan_.features,
                     plan_.head_dim, w.row);
      StoreRows(w.row, 0, grad, b, first + i, 1, h, accumulate);
    }
  }

  const BackwardScratch& scratch_;
  const float scale_;
  const TensorView q_, out_, d_out_, d_final_state_, d_initial_state_;
  const BranchGrads grads_;
};

void RunBackward(const Problem& problem, const Buffers& buffers, TensorView out,
                 TensorView d_out, const BranchGrads& grads,
                 const MemoryPlan& plan, const BackwardScratch& scratch) {
  RunMemoryPass(
      problem.threads, plan,
      BackwardPass(problem, buffers, out, d_out, grads, plan, scratch));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {

HWY_EXPORT(RunBackward);

void MemoryBackward(const Problem& problem, const Buffers& buffers,
                    TensorView out, TensorView d_out, const BranchGrads& grads,
                    Workspace workspace) {
  if (UsesBf16Linear(problem)) {
    Bf16LinearBackward(problem, buffers, d_out, grads, workspace);
    return;
  }
  const MemoryPlan plan = MakeMemoryPlan(problem);
  Arena arena(workspace.data);
  const BackwardScratch scratch(plan, &arena);
  HWY_DYNAMIC_DISPATCH(RunBackward)
  (problem, buffers, out, d_out, grads, plan, scratch);
}

}  // namespace rattn
#endif  // HWY_ONCE
