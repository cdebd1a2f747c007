// The gradients of linear_backward.cc on tiles, with its names:
//   dphi(q) = R S^T + B phi(k)       dphi(k) = v dS^T + B^T phi(q)
//   dv      = phi(k) dS + A^T R      dS^T   += R^T phi(q)
#include "kernels/cpu/amx.h"
#include "kernels/cpu/amx_linear.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/amx_linear_backward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/amx_linear-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

class AmxBackwardPass : AmxTokenPass {
 public:
  AmxBackwardPass(const Problem& problem, const Buffers& buffers,
                  const TensorView& d_out, const BranchGrads& grads,
                  const AmxLinearPlan& plan,
                  const AmxLinearScratch<AmxBackwardWorker>& scratch)
      : AmxTokenPass(problem, buffers, plan),
        scratch_(scratch),
        d_out_(d_out),
        d_final_state_(buffers.d_final_state),
        d_initial_state_(buffers.d_initial_state),
        grads_(grads) {}

  void Run(int threads) const {
    const int64_t tasks = plan_.heads_of_kv();
    ParallelFor<AmxTiles>(threads, tasks, [this](int64_t task, int worker) {
      const AmxBackwardWorker w = scratch_.worker(worker);
      ZeroUnread(task, w);
      if (!plan_.split_segments) RunHead(task, worker, w);
    });
    if (!plan_.split_segments) return;
    const int64_t pieces = tasks * plan_.segments;
    ParallelFor<AmxTiles>(threads, pieces, [this](int64_t piece, int worker) {
      SumSegment(piece / plan_.segments, piece % plan_.segments,
                 scratch_.worker(worker));
    });
    ParallelFor(threads, tasks, [this](int64_t task, int worker) {
      ScanSegments(task, scratch_.worker(worker));
    });
    ParallelFor<AmxTiles>(threads, pieces, [this](int64_t piece, int worker) {
      const int64_t task = piece / plan_.segments;
      const int64_t s = piece % plan_.segments;
      for (int64_t stream = plan_.streams - 1; stream >= 0; --stream) {
        RunSegment(task, stream, s, Kept(task, stream, s),
                   KeptGrad(task, stream, s), false, scratch_.worker(worker));
      }
    });
  }

 private:
  // Queries of one head that are multiplied in one go: the chunk's places
  // [place, place + kBlockRows), of which [begin, end) hold queries.
  struct Block {
    int64_t b, h;
    int64_t place, begin, end;
    int64_t query;   // of place `begin`
    int64_t strips;  // of the block up to `end`
    int64_t tokens;  // strips of tokens that the block sees
    int64_t strip() const { return place / kStrip; }
  };

  // Places of kept states, and of kept gradients, where segments are split.
  float* Kept(int64_t task, int64_t stream, int64_t segment) const {
    return scratch_.kept(task * plan_.streams + stream, segment);
  }
  float* KeptGrad(int64_t task, int64_t stream, int64_t segment) const {
    return Kept(plan_.heads_of_kv() + task, stream, segment);
  }

  // Tokens that no query reads get no gradient.
  void ZeroUnread(int64_t task, const AmxBackwardWorker& w) const {
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

  // All segments of one KV head: states forwards, gradients backwards.
  void RunHead(int64_t task, int worker, const AmxBackwardWorker& w) const {
    for (int64_t stream = plan_.streams - 1; stream >= 0; --stream) {
      LoadState(initial_state_, task, stream, w, w.state);
      for (int64_t s = 0; s < plan_.segments; ++s) {
        Copy(w.state, scratch_.kept(worker, s));
        if (s + 1 == plan_.segments) break;
        SumChunks(task, plan_.segment_begin(s), plan_.segment_end(s), w, w.sum);
        Add(w.sum, w.state);
      }
      LoadState(d_final_state_, task, stream, w, w.d_state);
      for (int64_t s = plan_.segments - 1; s >= 0; --s) {
        RunSegment(task, stream, s, scratch_.kept(worker, s), w.d_state,
                   s > 0 || d_initial_state_, w);
      }
      StoreState(w.d_state, d_initial_state_, task, stream, w);
    }
  }

  // What a segment's tokens add to the state, and its queries to the gradient.
  void SumSegment(int64_t task, int64_t segment,
                  const AmxBackwardWorker& w) const {
    const int64_t begin = plan_.segment_begin(segment);
    const int64_t end = plan_.segment_end(segment);
    SumChunks(task, begin, end, w, Kept(task, 0, segment));
    for (int64_t stream = plan_.streams - 1; stream >= 0; --stream) {
      float* d_sum = KeptGrad(task, stream, segment);
      Clear(d_sum);
      for (int64_t c = end - 1; c >= begin; --c) {
        ForEachBlock(task, stream, ChunkAt(plan_, c), [&](const Block& block) {
          LoadQueries(block, w);
          AbsorbGrad(block, w, d_sum);
        });
      }
    }
  }

  // Sums -> states at the beginnings and gradients at the ends of segments, in
  // place; the states' sums lie in stream 0's places.
  void ScanSegments(int64_t task, const AmxBackwardWorker& w) const {
    for (int64_t stream = plan_.streams - 1; stream >= 0; --stream) {
      LoadState(initial_state_, task, stream, w, w.state);
      for (int64_t s = 0; s < plan_.segments; ++s) {
        Copy(Kept(task, 0, s), w.sum);
        Copy(w.state, Kept(task, stream, s));
        Add(w.sum, w.state);
      }
      LoadState(d_final_state_, task, stream, w, w.d_state);
      for (int64_t s = plan_.segments - 1; s >= 0; --s) {
        Copy(KeptGrad(task, stream, s), w.d_sum);
        Copy(w.d_state, KeptGrad(task, stream, s));
        Add(w.d_sum, w.d_state);
      }
      StoreState(w.d_state, d_initial_state_, task, stream, w);
    }
  }

  // Gradients of a segment from the state at its beginning and dS at its end;
  // with `advance` dS is then moved to its beginning.
  void RunSegment(int64_t task, int64_t stream, int64_t segment,
                  const float* state, float* d_state, bool advance,
                  const AmxBackwardWorker& w) const {
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
      ForEachBlock(task, stream, chunk, [&](const Block& block) {
        LoadQueries(block, w);
        RunBlock(block, HasState(chunk), w);
        if (c > begin || advance) AbsorbGrad(block, w, w.d_sum);
      });
      StoreTokens(task, stream, chunk, w);
    }
    if (advance) Add(w.d_sum, d_state);
  }

  Bf16* ChunkState(int64_t chunk, const AmxBackwardWorker& w) const {
    return w.chunk_states + (chunk - 1) * plan_.state_floats();
  }

  // States before the chunks of a segment but its first.
  void KeepStates(int64_t task, int64_t begin, int64_t end, const float* state,
                  const AmxBackwardWorker& w) const {
    for (int64_t c = begin; c + 1 < end; ++c) {
      SumChunk(task, c, c > begin, w);
      RoundRows(state, w.sum, ChunkState(c + 1 - begin, w));
    }
  }
  void SumChunk(int64_t task, int64_t c, bool add,
                const AmxBackwardWorker& w) const {
    const MemoryChunk chunk = ChunkAt(plan_, c);
    LoadTokens(task, chunk, w);
    Absorb(chunk, w, add, w.sum);
  }

  // d_keys and d_values from the state's gradient after the chunk, and the
  // tokens as operands of RunBlock.
  void StartTokens(const MemoryChunk& chunk, const float* d_state,
                   const float* d_sum, const AmxBackwardWorker& w) const {
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

  template <typename Body>
  void ForEachBlock(int64_t task, int64_t stream, const MemoryChunk& chunk,
                    const Body& body) const {
    if (chunk.queries == 0) return;
    const HeadRange heads = plan_.readers(kv(task), stream);
    const int64_t end = chunk.row + chunk.queries;
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      for (int64_t place = chunk.row / kStrip * kStrip; place < end;
           place += kBlockRows) {
        Block block = {batch(task), h, place};
        block.begin = std::max(place, chunk.row);
        block.end = std::min(place + kBlockRows, end);
        block.query = chunk.query_begin + block.begin - chunk.row;
        block.strips = Strips(block.end - place);
        block.tokens =
            std::min(block.strip() + block.strips, Strips(chunk.tokens));
        body(block);
      }
    }
  }

  // phi(q) and R, d_out times memory_scale, in rows and as right operands, R^T
  // as left operand. Places without a query are zero.
  void LoadQueries(const Block& block, const AmxBackwardWorker& w) const {
    const int64_t rows = block.strips * kStrip;
    for (int64_t i = 0; i < rows; ++i) {
      Bf16* query = w.queries + i * plan_.depth;
      Bf16* read = w.d_read + i * plan_.width;
      const int64_t place = block.place + i;
      if (place < block.begin || place >= block.end) {
        std::fill_n(query, plan_.depth, Bf16{});
        std::fill_n(read, plan_.width, Bf16{});
        continue;
      }
      const int64_t t = block.query + place - block.begin;
      PutFeatures(q_, block.b, t, block.h, w, kDepth, query);
      LoadRows(d_out_, block.b, t, 1, block.h, scale_, w.row, plan_.value_dim);
      RoundRow(w.row, plan_.value_dim, plan_.width, read);
    }
    PackRightRows(w.queries, rows, plan_.depth, w.query_rows);
    PackLeftColumns(w.d_read, rows, plan_.width, kBlockStrips, w.read_t);
  }

  // d_sum += R^T phi(q).
  void AbsorbGrad(const Block& block, const AmxBackwardWorker& w,
                  float* d_sum) const {
    TileGemm<true>(value_tiles(), feature_tiles(), block.strips,
                   DepthInner(w.read_t, kBlockStrips),
                   DepthOuter(w.query_rows, feature_tiles()),
                   Result(d_sum, feature_tiles()));
  }

  // dq of the block, and its share of d_keys and d_values.
  void RunBlock(const Block& block, bool has_state,
                const AmxBackwardWorker& w) const {
    const int64_t rows = block.strips * kStrip;
    PackRightColumns(w.queries, rows, plan_.depth, w.query_columns);
    PackRightRows(w.d_read, rows, plan_.width, w.read_rows);
    for (int64_t i = 0; i < rows; ++i) {
      PutLeft(w.d_read + i * plan_.width, i, w);
    }
    for (int64_t s = 0; s < block.strips; ++s) {
      FindGradScores(block, s, w);
      ReadGrad(block, s, has_state, w);
    }
    for (int64_t s = 0; s < block.tokens; ++s) TokenGrads(block, s, w);
  }

  int64_t read_tiles() const { return value_groups() + plan_.strips(); }

  // Row i of R into the left operand that B follows.
  void PutLeft(const Bf16* row, int64_t i, const AmxBackwardWorker& w) const {
    Bf16* to = w.read_left + i / kSide * read_tiles() * kOperandTile +
               i % kSide * kDepth;
    for (int64_t k = 0; k < value_groups(); ++k) {
      std::copy_n(row + k * kDepth, kDepth, to + k * kOperandTile);
    }
  }

  // B = mask(R v^T) of strip s of the block, behind its R, and B^T.
  void FindGradScores(const Block& block, int64_t s,
                      const AmxBackwardWorker& w) const {
    const int64_t own = block.strip() + s;
    const int64_t seen = std::min(own + 1, block.tokens);
    const TileOperand left = DepthInner(w.read_left, read_tiles());
    TileGemm<false>(2, 2 * seen, value_groups(),
                    DepthInner(left.At(2 * s, 0), read_tiles()),
                    DepthInner(w.value_columns, value_groups()),
                    Result(w.scores, 2 * plan_.strips()));
    for (int64_t g = 0; g < seen; ++g) {
      Bf16* tiles = w.read_left +
                    (2 * s * read_tiles() + value_groups() + g) * kOperandTile;
      RoundSquare(w.scores + g * 2 * kResultTile,
                  2 * plan_.strips() * kResultTile,
                  g == own ? Keep::kLower : Keep::kAll, tiles,
                  read_tiles() * kOperandTile);
      TransposeSquare(tiles, read_tiles() * kOperandTile,
                      w.d_scores_t + (2 * g * kBlockStrips + s) * kOperandTile,
                      kBlockStrips * kOperandTile);
    }
  }

  // dq of strip s: one product of R and B with the state and phi(k).
  void ReadGrad(const Block& block, int64_t s, bool has_state,
                const AmxBackwardWorker& w) const {
    const int64_t seen = std::min(block.strip() + s + 1, block.tokens);
    const int64_t skip = has_state ? 0 : value_groups();
    const TileOperand left = DepthInner(w.read_left, read_tiles());
    const TileOperand right = DepthOuter(w.state_rows, feature_tiles());
    TileGemm<false>(2, feature_tiles(), value_groups() + seen - skip,
                    DepthInner(left.At(2 * s, skip), read_tiles()),
                    DepthOuter(right.At(0, skip), feature_tiles()),
                    Result(w.d_queries, feature_tiles()));
    const int64_t place = block.place + s * kStrip;
    const int64_t begin = std::max(place, block.begin);
    const int64_t end = std::min(place + kStrip, block.end);
    for (int64_t i = begin; i < end; ++i) {
      StoreFeatureGrad(w.queries + (i - block.place) * plan_.depth,
                       ResultRow(w.d_queries, plan_.depth, i - place),
                       grads_.dq, block.b, block.query + i - block.begin,
                       block.h, grads_.accumulate_q, w);
    }
  }

  // What the block adds to d_keys and d_values of token strip s: the block's
  // strips before the token see nothing of it.
  void TokenGrads(const Block& block, int64_t s,
                  const AmxBackwardWorker& w) const {
    const int64_t first = std::max<int64_t>(s - block.strip(), 0);
    const int64_t count = block.strips - first;
    const TileOperand keys = DepthInner(w.key_left, feature_groups());
    const TileOperand queries = DepthInner(w.query_columns, feature_groups());
    TileGemm<false>(2, 2 * count, feature_groups(),
                    DepthInner(keys.At(2 * s, 0), feature_groups()),
                    DepthInner(queries.At(2 * first, 0), feature_groups()),
                    Result(w.scores, 2 * kBlockStrips));
    for (int64_t g = 0; g < count; ++g) {
      RoundSquare(
          w.scores + g * 2 * kResultTile, 2 * kBlockStrips * kResultTile,
          block.strip() + first + g == s ? Keep::kUpper : Keep::kAll,
          w.scores_t + (first + g) * kOperandTile, kBlockStrips * kOperandTile);
    }
    const TileOperand scores = DepthInner(w.scores_t, kBlockStrips);
    const TileOperand reads = DepthOuter(w.read_rows, value_tiles());
    TileGemm<true>(
        2, value_tiles(), count, DepthInner(scores.At(0, first), kBlockStrips),
        DepthOuter(reads.At(0, first), value_tiles()),
        Result(w.d_values + s * kStrip * plan_.width, value_tiles()));
    const TileOperand d_scores = DepthInner(w.d_scores_t, kBlockStrips);
    const TileOperand rows = DepthOuter(w.query_rows, feature_tiles());
    TileGemm<true>(
        2, feature_tiles(), count,
        DepthInner(d_scores.At(2 * s, first), kBlockStrips),
        DepthOuter(rows.At(0, first), feature_tiles()),
        Result(w.d_keys + s * kStrip * plan_.depth, feature_tiles()));
  }

  void StoreTokens(int64_t task, int64_t stream, const MemoryChunk& chunk,
                   const AmxBackwardWorker& w) const {
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

  // One row of dq or dk from phi (rounded) and its gradient.
  void StoreFeatureGrad(const Bf16* phi, const float* d_phi,
                        const TensorView& grad, int64_t b, int64_t t, int64_t h,
                        bool accumulate, const AmxBackwardWorker& w) const {
    if (!grad) return;
    LoadRow(phi, 1, plan_.features, 1.f, w.phi);
    GatherRow(d_phi, plan_.depth, w.d_phi);
    FeatureRowGrad(map_, w.phi, w.d_phi, plan_.head_dim, w.row);
    StoreRows(w.row, 0, grad, b, t, 1, h, accumulate);
  }

  static constexpr int64_t kBlockStrips = kBlockRows / kStrip;

  const AmxLinearScratch<AmxBackwardWorker>& scratch_;
  const TensorView d_out_, d_final_state_, d_initial_state_;
  const BranchGrads grads_;
};

void RunAmxLinearBackward(const Problem& problem, const Buffers& buffers,
                          const TensorView& d_out, const BranchGrads& grads,
                          Workspace workspace) {
  const AmxLinearPlan plan(problem);
  Arena arena(workspace.data);
  const AmxLinearScratch<AmxBackwardWorker> scratch(plan, BackwardSlots(plan),
                                                    &arena);
  AmxBackwardPass(problem, buffers, d_out, grads, plan, scratch)
      .Run(problem.threads);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {

void AmxLinearBackward(const Problem& problem, const Buffers& buffers,
                       const TensorView& d_out, const BranchGrads& grads,
                       Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::RunAmxLinearBackward(problem, buffers, d_out, grads, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
