// MemoryForward: chunkwise linear attention (paper, section 3; the chunks are
// laid out in linear_plan.h).
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_forward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/branch.h"
#include "kernels/cpu/linear_blocks-inl.h"
#include "kernels/cpu/linear_schedule.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

class ForwardPass : TokenPass, public ForwardSteps<ForwardPass> {
 public:
  ForwardPass(const Problem& problem, const Buffers& buffers, TensorView out,
              TensorView key_sum, const MemoryPlan& plan,
              const ForwardScratch& scratch)
      : TokenPass(problem, buffers, key_sum, plan),
        scratch_(scratch),
        scale_(static_cast<float>(problem.memory_scale)),
        q_(buffers.q_memory ? buffers.q_memory : buffers.q),
        out_(out),
        final_state_(buffers.final_state),
        end_wanted_(final_state_ || key_sum) {}

 private:
  friend class ForwardSteps<ForwardPass>;

  void LoadStart(int64_t task, int64_t stream, const ForwardWorker& w) const {
    LoadState(initial_state_, key_sum_, task, stream, w.state);
  }
  void StoreEnd(int64_t task, int64_t stream, const ForwardWorker& w) const {
    StoreState(w.state, final_state_, key_sum_, task, stream);
  }
  bool EndWanted() const { return end_wanted_; }

  // Outputs of a segment from the state at its beginning; with `advance` the
  // state is then moved to its end. The segment's own tokens are summed apart
  // and added to the state, so that the bits do not depend on how segments are
  // divided among threads.
  void RunSegment(int64_t task, int64_t stream, int64_t segment, float* state,
                  bool advance, const ForwardWorker& w) const {
    const HeadRange heads = plan_.readers(kv(task), stream);
    if (heads.size() == 0 && !advance) return;
    const int64_t begin = plan_.segment_begin(segment);
    const int64_t end = plan_.segment_end(segment);
    Clear(w.sum);
    for (int64_t c = begin; c < end; ++c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      const float* read = state;
      if (c > begin && chunk.token_begin > 0) {
        Add(state, w.sum, w.chunk_state);
        read = w.chunk_state;
      }
      if (!start_known() && chunk.token_begin == 0) read = nullptr;
      LoadTokens(task, chunk, w);
      for (int64_t h = heads.begin; h < heads.end; ++h) {
        ReadChunk(batch(task), h, chunk, read, w);
      }
      if (c + 1 < end || advance) Absorb(chunk, w, w.sum);
    }
    if (advance) Add(state, w.sum, state);
  }

  // o of one head's queries in a chunk; `state` nullptr: there is none yet.
  void ReadChunk(int64_t b, int64_t h, const MemoryChunk& chunk,
                 const float* state, const ForwardWorker& w) const {
    if (chunk.queries == 0) return;
    const int64_t features = plan_.features, ld = plan_.state_ld;
    if (state == nullptr && chunk.tokens == 0) {
      std::fill(w.read, w.read + chunk.queries * ld, 0.f);
    } else {
      LoadFeatures(map_, q_, b, chunk.query_begin, chunk.queries, h, w.row,
                   w.queries, features);
    }
    if (state != nullptr) {
      GemmNN(chunk.queries, plan_.columns, features, w.queries, features, state,
             ld, w.read, ld, false);
    }
    for (int64_t r = 0; chunk.tokens > 0 && r < chunk.queries;
         r += kScoreRows) {
      const int64_t rows = std::min(kScoreRows, chunk.queries - r);
      const int64_t place = chunk.row + r;
      const int64_t seen = place + rows;
      GemmNN(rows, seen, features, w.queries + r * features, features, w.keys_t,
             plan_.chunk_ld, w.scores, plan_.chunk_ld, false);
      MaskFuture(place, rows, seen, w.scores, plan_.chunk_ld);
      GemmNN(rows, plan_.columns, seen, w.scores, plan_.chunk_ld, w.values, ld,
             w.read + r * ld, ld, state != nullptr);
    }
    Normalize(chunk.queries, w.read);
    StoreRows(w.read, ld, out_, b, chunk.query_begin, chunk.queries, h, false);
  }

  // memory_scale, and division by the key sum's column, where there is one,
  // scaled alike.
  void Normalize(int64_t rows, float* read) const {
    const bool sum = plan_.columns > plan_.value_dim;
    if (!sum && scale_ == 1.f) return;
    for (int64_t r = 0; r < rows; ++r) {
      float* row = read + r * plan_.state_ld;
      const float by = sum ? scale_ * row[plan_.value_dim] + kEpsilon : 1.f;
      ScaleRow(scale_ / by, row, plan_.value_dim, row, false);
    }
  }

  const ForwardScratch& scratch_;
  const float scale_;
  const TensorView q_, out_, final_state_;
  const bool end_wanted_;
};

void RunForward(const Problem& problem, const Buffers& buffers, TensorView out,
                TensorView key_sum, const MemoryPlan& plan,
                const ForwardScratch& scratch) {
  RunMemoryPass(problem.threads, plan,
                ForwardPass(problem, buffers, out, key_sum, plan, scratch));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {

HWY_EXPORT(RunForward);

void MemoryForward(const Problem& problem, const Buffers& buffers,
                   TensorView out, TensorView key_sum, Workspace workspace) {
  if (UsesBf16Linear(problem)) {
    Bf16LinearForward(problem, buffers, out, workspace);
    return;
  }
  const MemoryPlan plan = MakeMemoryPlan(problem);
  Arena arena(workspace.data);
  const ForwardScratch scratch(plan, &arena);
  HWY_DYNAMIC_DISPATCH(RunForward)
  (problem, buffers, out, key_sum, plan, scratch);
}

}  // namespace rattn
#endif  // HWY_ONCE
