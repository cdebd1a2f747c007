// The forward of linear attention on bf16 tiles. As bf16_tiles-inl.h, for
// AVX-512 only.
#include <algorithm>

#include "kernels/cpu/bf16_linear_scratch.h"
#include "kernels/cpu/linear_schedule.h"

#if defined(RATTN_KERNELS_CPU_BF16_LINEAR_FORWARD_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_LINEAR_FORWARD_INL_H_
#undef RATTN_KERNELS_CPU_BF16_LINEAR_FORWARD_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_LINEAR_FORWARD_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/bf16_linear-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// `Sink` takes what is read, row by row:
//   Begin(b, kv, chunk, worker)  before the rows of a chunk and KV head
//   Row(b, t, h, tiles, worker)  value_dim floats of query t, 16 of them in
//                                every result tile from `tiles` on
template <typename Sink>
class Bf16LinearForwardPass : Bf16TokenPass,
                              public ForwardSteps<Bf16LinearForwardPass<Sink>> {
 public:
  Bf16LinearForwardPass(const Problem& problem, const Buffers& buffers,
                        const Sink& sink, const Bf16LinearPlan& plan,
                        const Bf16LinearScratch<Bf16ForwardWorker>& scratch)
      : Bf16TokenPass(problem, buffers, plan),
        scratch_(scratch),
        sink_(sink),
        final_state_(buffers.final_state) {}

 private:
  friend class ForwardSteps<Bf16LinearForwardPass>;

  void LoadStart(int64_t task, int64_t stream,
                 const Bf16ForwardWorker& w) const {
    LoadState(initial_state_, task, stream, w, w.state);
  }
  void StoreEnd(int64_t task, int64_t stream,
                const Bf16ForwardWorker& w) const {
    StoreState(w.state, final_state_, task, stream, w);
  }
  bool EndWanted() const { return bool{final_state_}; }

  // Outputs of a segment from the state at its beginning; with `advance` the
  // state is then moved to its end. As in linear_forward.cc the segment's own
  // tokens are summed apart: the bits do not depend on how segments are
  // divided among threads.
  void RunSegment(int64_t task, int64_t stream, int64_t segment, float* state,
                  bool advance, const Bf16ForwardWorker& w) const {
    const HeadRange heads = plan_.readers(kv(task), stream);
    if (heads.size() == 0 && !advance) return;
    const int64_t begin = plan_.segment_begin(segment);
    const int64_t end = plan_.segment_end(segment);
    for (int64_t c = begin; c < end; ++c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      LoadTokens(task, chunk, w);
      if (heads.size() > 0 && chunk.queries > 0) {
        sink_.Begin(batch(task), kv(task), chunk, w);
        PackReads(chunk, state, c > begin ? w.sum : nullptr, w);
        ReadChunk(batch(task), heads, chunk, w);
      }
      if (c + 1 < end || advance) Absorb(chunk, w, c > begin, w.sum);
    }
    if (advance) AddSum(w.sum, state);
  }

  // What all heads read: phi(k)^T, and the state with v behind it.
  void PackReads(const MemoryChunk& chunk, const float* state, const float* sum,
                 const Bf16ForwardWorker& w) const {
    const int64_t rows = Strips(chunk.tokens) * kStrip;
    if (HasState(chunk)) RoundColumns(state, sum, w.read);
    PackRightRows(w.values, rows, plan_.width, w.read + plan_.state_floats());
    PackRightColumns(w.keys, rows, plan_.depth, w.key_columns);
  }

  // o of a chunk, strip by strip of places. The rows of a token's heads lie
  // side by side: they are loaded and stored together.
  void ReadChunk(int64_t b, const HeadRange& heads, const MemoryChunk& chunk,
                 const Bf16ForwardWorker& w) const {
    const int64_t end = chunk.row + chunk.queries;
    for (int64_t s = chunk.row / kStrip; s < Strips(end); ++s) {
      const int64_t place = s * kStrip;
      // Rows of the strip that hold queries, and the query of row 0.
      const HeadRange rows = {std::max<int64_t>(chunk.row - place, 0),
                              std::min(kStrip, end - place)};
      const int64_t query = chunk.query_begin + place - chunk.row;
      LoadQueries(b, query, rows, heads, w);
      for (int64_t i = 0; i < heads.size(); ++i) ReadStrip(s, chunk, i, w);
      StoreOut(b, query, rows, heads, w);
    }
  }

  int64_t left_tiles() const { return feature_groups() + plan_.strips(); }
  // Operand and result of head i of the readers.
  Bf16* Queries(const Bf16ForwardWorker& w, int64_t i) const {
    return w.queries + i * 2 * left_tiles() * kOperandTile;
  }
  float* Out(const Bf16ForwardWorker& w, int64_t i) const {
    return w.out + i * kStrip * plan_.width;
  }

  // phi(q) of a strip; rows without a query are zero.
  void LoadQueries(int64_t b, int64_t query, const HeadRange& rows,
                   const HeadRange& heads, const Bf16ForwardWorker& w) const {
    for (int64_t r = 0; r < kStrip; ++r) {
      const bool exists = r >= rows.begin && r < rows.end;
      for (int64_t i = 0; i < heads.size(); ++i) {
        Bf16* row = Queries(w, i) + r / kSide * left_tiles() * kOperandTile +
                    r % kSide * kDepth;
        if (exists) {
          PutFeatures(q_, b, query + r, heads.begin + i, w, kOperandTile, row);
        } else {
          RoundPieces(w.phi, 0, plan_.depth, row, kOperandTile);
        }
      }
    }
  }

  // The strip's masked scores follow its phi(q): one product reads the state
  // and the chunk's own values.
  void ReadStrip(int64_t strip, const MemoryChunk& chunk, int64_t i,
                 const Bf16ForwardWorker& w) const {
    const int64_t seen = std::min(strip + 1, Strips(chunk.tokens));
    Bf16* rows = Queries(w, i);
    const TileOperand queries = DepthInner(rows, left_tiles());
    TileGemm<false>(2, 2 * seen, feature_groups(), queries,
                    DepthInner(w.key_columns, feature_groups()),
                    Result(w.scores, 2 * plan_.strips()));
    for (int64_t g = 0; g < seen; ++g) {
      RoundSquare(w.scores + g * 2 * kResultTile,
                  2 * plan_.strips() * kResultTile,
                  g == strip ? Keep::kLower : Keep::kAll,
                  rows + (feature_groups() + g) * kOperandTile,
                  left_tiles() * kOperandTile);
    }
    const int64_t skip = HasState(chunk) ? 0 : feature_groups();
    const TileOperand read = DepthOuter(w.read, value_tiles());
    TileGemm<false>(2, value_tiles(), feature_groups() + seen - skip,
                    DepthInner(queries.At(0, skip), left_tiles()),
                    DepthOuter(read.At(0, skip), value_tiles()),
                    Result(Out(w, i), value_tiles()));
  }

  void StoreOut(int64_t b, int64_t query, const HeadRange& rows,
                const HeadRange& heads, const Bf16ForwardWorker& w) const {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t i = 0; i < heads.size(); ++i) {
        sink_.Row(b, query + r, heads.begin + i,
                  ResultRow(Out(w, i), plan_.width, r), w);
      }
    }
  }

  const Bf16LinearScratch<Bf16ForwardWorker>& scratch_;
  const Sink& sink_;
  const TensorView final_state_;
};

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
