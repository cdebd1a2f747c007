// What the queries of a chunk add to the gradients of linear attention on bf16
// tiles. As bf16_tiles-inl.h, for AVX-512 only.
#include <algorithm>

#include "kernels/cpu/branch.h"

#if defined(RATTN_KERNELS_CPU_BF16_LINEAR_BLOCK_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_LINEAR_BLOCK_INL_H_
#undef RATTN_KERNELS_CPU_BF16_LINEAR_BLOCK_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_LINEAR_BLOCK_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/bf16_linear-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

class Bf16BlockPass : protected Bf16TokenPass {
 public:
  Bf16BlockPass(const Problem& problem, const Buffers& buffers,
                const TensorView& d_out, const BranchGrads& grads,
                const Bf16LinearPlan& plan)
      : Bf16TokenPass(problem, buffers, plan),
        d_out_(d_out),
        grads_(grads),
        wide_(d_out.dtype == Dtype::kF32) {}

 protected:
  // Queries of one head that are multiplied in one go: the chunk's places
  // [place, place + kBlockRows), of which [begin, end) hold queries.
  struct Block {
    int64_t b, place, begin, end, h;
    int64_t query;        // of place `begin`
    int64_t strips;       // of the block up to `end`
    int64_t tokens;       // strips of tokens that the block sees
    const Bf16* queries;  // phi(q) [strips * kStrip, F]
    const Bf16* d_read;   // R [strips * kStrip, Dv]
    const Bf16* d_read_low;
    int64_t strip() const { return place / kStrip; }
  };

  // Calls body(block) for the blocks of a chunk, with operands for AbsorbGrad.
  template <typename Body>
  void ForEachBlock(int64_t task, int64_t stream, const MemoryChunk& chunk,
                    const Bf16BackwardWorker& w, const Body& body) const {
    if (chunk.queries == 0) return;
    const HeadRange heads = plan_.readers(kv(task), stream);
    const int64_t end = chunk.row + chunk.queries;
    for (int64_t place = chunk.row / kStrip * kStrip; place < end;
         place += kBlockRows) {
      Block block = {batch(task), place};
      block.begin = std::max(place, chunk.row);
      block.end = std::min(place + kBlockRows, end);
      block.query = chunk.query_begin + block.begin - chunk.row;
      block.strips = Strips(block.end - place);
      block.tokens =
          std::min(block.strip() + block.strips, Strips(chunk.tokens));
      LoadQueries(block, heads, w);
      for (block.h = heads.begin; block.h < heads.end; ++block.h) {
        block.queries = w.queries + (block.h - heads.begin) * QueryValues();
        block.d_read = w.d_read + (block.h - heads.begin) * ReadValues();
        block.d_read_low =
            w.d_read_low + (block.h - heads.begin) * ReadValues();
        const int64_t rows = block.strips * kStrip;
        PackRightRows(block.queries, rows, plan_.depth, w.query_rows);
        PackLeftColumns(block.d_read, rows, plan_.width, kBlockStrips,
                        w.read_t);
        body(block);
      }
    }
  }

  // phi(q) and R, d_out times memory_scale, of all heads: their rows of one
  // token lie side by side. Places without a query are zero.
  void LoadQueries(const Block& block, const HeadRange& heads,
                   const Bf16BackwardWorker& w) const {
    for (int64_t i = 0; i < block.strips * kStrip; ++i) {
      const int64_t place = block.place + i;
      const bool exists = place >= block.begin && place < block.end;
      const int64_t t = block.query + place - block.begin;
      for (int64_t head = 0; head < heads.size(); ++head) {
        Bf16* query = w.queries + head * QueryValues() + i * plan_.depth;
        Bf16* read = w.d_read + head * ReadValues() + i * plan_.width;
        if (!exists) {
          std::fill_n(query, plan_.depth, Bf16{});
          std::fill_n(read, plan_.width, Bf16{});
          std::fill_n(w.d_read_low + head * ReadValues() + i * plan_.width,
                      plan_.width, Bf16{});
          continue;
        }
        const int64_t h = heads.begin + head;
        PutFeatures(q_, block.b, t, h, w, kDepth, query);
        FetchAhead(d_out_, block.b, t, h);
        LoadRows(d_out_, block.b, t, 1, h, scale_, w.row, plan_.value_dim);
        RoundRow(w.row, plan_.value_dim, plan_.width, read);
        if (!wide_) continue;
        LoadRow(read, 1, plan_.value_dim, -1.f, w.phi);
        ScaleRow(1.f, w.row, plan_.value_dim, w.phi, true);
        RoundRow(w.phi, plan_.value_dim, plan_.width,
                 w.d_read_low + head * ReadValues() + i * plan_.width);
      }
    }
  }
  int64_t QueryValues() const { return kBlockRows * plan_.depth; }
  int64_t ReadValues() const { return kBlockRows * plan_.width; }

  // d_sum += R^T phi(q).
  void AbsorbGrad(const Block& block, const Bf16BackwardWorker& w,
                  float* d_sum) const {
    TileGemm<true>(value_tiles(), feature_tiles(), block.strips,
                   DepthInner(w.read_t, kBlockStrips),
                   DepthOuter(w.query_rows, feature_tiles()),
                   Result(d_sum, feature_tiles()));
  }

  // dq of the block, and its share of d_keys and d_values.
  void RunBlock(const Block& block, bool has_state,
                const Bf16BackwardWorker& w) const {
    const int64_t rows = block.strips * kStrip;
    PackRightColumns(block.queries, rows, plan_.depth, w.query_columns);
    PackRightRows(block.d_read, rows, plan_.width, w.read_rows);
    for (int64_t i = 0; i < rows; ++i) {
      PutLeft(block.d_read + i * plan_.width, i, w);
    }
    for (int64_t s = 0; s < block.strips; ++s) {
      FindGradScores(block, s, w);
      ReadGrad(block, s, has_state, w);
    }
    for (int64_t s = 0; s < block.tokens; ++s) TokenGrads(block, s, w);
  }

  int64_t read_tiles() const { return value_groups() + plan_.strips(); }

  // Row i of R into the left operand that B follows.
  void PutLeft(const Bf16* row, int64_t i, const Bf16BackwardWorker& w) const {
    Bf16* to = w.read_left + i / kSide * read_tiles() * kOperandTile +
               i % kSide * kDepth;
    for (int64_t k = 0; k < value_groups(); ++k) {
      std::copy_n(row + k * kDepth, kDepth, to + k * kOperandTile);
    }
  }

  // B = mask(R v^T) of strip s of the block, behind its R, and B^T.
  void FindGradScores(const Block& block, int64_t s,
                      const Bf16BackwardWorker& w) const {
    const int64_t own = block.strip() + s;
    const int64_t seen = std::min(own + 1, block.tokens);
    const TileOperand left = DepthInner(w.read_left, read_tiles());
    TileGemm<false>(2, 2 * seen, value_groups(),
                    DepthInner(left.At(2 * s, 0), read_tiles()),
                    DepthInner(w.value_columns, value_groups()),
                    Result(w.scores, 2 * plan_.strips()));
    if (wide_) {
      PackLeftRows(block.d_read_low + s * kStrip * plan_.width, kStrip,
                   plan_.width, w.low_left);
      TileGemm<true>(2, 2 * seen, value_groups(),
                     DepthInner(w.low_left, value_groups()),
                     DepthInner(w.value_columns, value_groups()),
                     Result(w.scores, 2 * plan_.strips()));
    }
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
                const Bf16BackwardWorker& w) const {
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
      StoreFeatureGrad(block.queries + (i - block.place) * plan_.depth,
                       ResultRow(w.d_queries, plan_.depth, i - place),
                       grads_.dq, block.b, block.query + i - block.begin,
                       block.h, grads_.accumulate_q, w);
    }
  }

  // What the block adds to d_keys and d_values of token strip s: the block's
  // strips before the token see nothing of it.
  void TokenGrads(const Block& block, int64_t s,
                  const Bf16BackwardWorker& w) const {
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

  // One row of dq or dk from phi (rounded) and its gradient.
  void StoreFeatureGrad(const Bf16* phi, const float* d_phi,
                        const TensorView& grad, int64_t b, int64_t t, int64_t h,
                        bool accumulate, const Bf16BackwardWorker& w) const {
    if (!grad) return;
    LoadRow(phi, 1, plan_.features, 1.f, w.phi);
    GatherRow(d_phi, plan_.depth, w.d_phi);
    FeatureRowGrad(map_, w.phi, w.d_phi, plan_.head_dim, w.row);
    StoreRows(w.row, 0, grad, b, t, 1, h, accumulate);
  }

  static constexpr int64_t kBlockStrips = kBlockRows / kStrip;

  const TensorView d_out_;
  const BranchGrads grads_;
  // An fp32 d_out comes out of a norm: R v^T then cancels where a query reads
  // few tokens (wholly for one), and needs more of R than bf16 holds.
  const bool wide_;
};

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
