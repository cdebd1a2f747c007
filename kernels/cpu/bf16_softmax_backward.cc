#include "kernels/cpu/bf16_softmax.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_scope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_softmax_backward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_backward_plan.h"
#include "kernels/cpu/bf16_softmax-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Scores are transposed, S^T = K Q^T: lse and delta of 16 rows are vectors,
// and P^T and dS^T come out as the operands that the products after them need.
class Bf16SoftmaxBackwardPass {
 public:
  Bf16SoftmaxBackwardPass(const Bf16BackwardCall& call,
                          const Bf16BackwardScratch& scratch)
      : call_(call), in_(call.in), plan_(call.plan), s_(scratch) {
    scale_ = static_cast<float>(LocalScale(*in_.problem));
    factor_ = static_cast<float>(LocalScale(*in_.problem) * M_LOG2E);
  }

  void PackGroup(int64_t head, int64_t group) const {
    const int64_t kv_heads = in_.problem->shape.kv_heads;
    const int64_t b = head / kv_heads, h = head % kv_heads;
    const int64_t at = head * plan_.groups + group;
    const int64_t keys = in_.problem->shape.key_len;
    StageKeys(in_.k.view, b, h, group * kDepth, keys, plan_.depth, s_.wide,
              s_.staged);
    PackLeftRows(s_.staged, kDepth, plan_.depth,
                 call_.packed.keys + at * kDepth * plan_.depth);
    Bf16* turned = call_.packed.turned_keys + at * kDepth * plan_.depth;
    for (int64_t d = 0; d < plan_.depth; d += kSide, turned += kOperandTile) {
      PackLeftTransposed(s_.staged + d, plan_.depth, turned);
    }
    StageKeys(in_.v.view, b, h, group * kDepth, keys, plan_.value_dim, s_.wide,
              s_.staged);
    PackLeftRows(s_.staged, kDepth, plan_.value_dim,
                 call_.packed.values + at * kDepth * plan_.value_dim);
  }

  void Run(int64_t head, const BackwardJob& job) const {
    const int64_t kv_heads = in_.problem->shape.kv_heads;
    const int64_t b = head / kv_heads, h = head % kv_heads;
    const int64_t keys = job.keys.end - job.keys.begin;
    const int64_t padded = RoundUp(keys, kDepth);
    std::fill_n(s_.dk, padded * plan_.depth, 0.f);
    std::fill_n(s_.dv, padded * plan_.value_dim, 0.f);
    for (int64_t t = job.queries.begin; t < job.queries.end;
         t += plan_.local.positions) {
      QueryBlock block;
      block.b = b;
      block.kv_head = h;
      block.heads = GroupHeads(*in_.problem, h);
      block.begin = t;
      block.end = std::min(t + plan_.local.positions, job.queries.end);
      block.first_position = in_.first_position + t;
      block.rows =
          (block.end - block.begin) * std::max<int64_t>(block.heads.size(), 0);
      if (block.rows > 0) RunBlock(block, job);
    }
    AddKeyGradients(b, h, job);
  }

 private:
  int64_t depth_tiles() const { return plan_.depth / kDepth; }
  int64_t value_tiles() const { return plan_.value_dim / kDepth; }

  void RunBlock(const QueryBlock& block, const BackwardJob& job) const {
    PackBlock(block);
    const BlockPart part{
        {job.keys.begin, std::min(job.keys.end, block.last_position())},
        plan_.local.window,
        Rotation::kNone};
    const int64_t window_begin =
        std::max<int64_t>(block.first_position - part.window + 1, 0);
    const int64_t first =
        std::max(job.keys.begin, window_begin / kDepth * kDepth);
    bool started = false;
    for (int64_t key = first; key < part.keys.end; key += kBackwardKeys) {
      started |= KeyBlock(block, part, key, job.keys.begin, started);
    }
    StoreQueryGradients(block, started, job.adds_queries);
  }

  // Q and dO of the rows, each as the columns of one product and the depth of
  // another; lse and delta, from dO as rounded: where a row sees nearly one key
  // only, dP and delta must cancel.
  void PackBlock(const QueryBlock& block) const {
    const int64_t rows = RoundUp(block.rows, kDepth);
    const auto pack = [&](const TensorView& view, Rotation rotation,
                          int64_t padded, Bf16* columns, Bf16* deep) HWY_ATTR {
      StageBlock(in_, block, view, 1, rotation, s_.wide,
                 {s_.staged, padded, /*tiles=*/false});
      std::fill(s_.staged + RoundUp(block.rows, kSide) * padded,
                s_.staged + rows * padded, Bf16{});
      PackRightColumns(s_.staged, rows, padded, columns);
      PackRightRows(s_.staged, rows, padded, deep);
    };
    pack(in_.q, WindowRotation(in_), plan_.depth, s_.query, s_.deep_query);
    pack(call_.d_out, Rotation::kNone, plan_.value_dim, s_.d_out,
         s_.deep_d_out);
    std::fill_n(s_.lse, rows, -kMinusInfinity);
    std::fill_n(s_.delta, rows, 0.f);
    const int64_t n = call_.out.shape[3];
    int64_t r = 0;
    for (int64_t t = block.begin; t < block.end; ++t) {
      for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++r) {
        const float lse = *call_.lse.Row<const float>(block.b, t, h);
        if (lse != kMinusInfinity) s_.lse[r] = lse * kLog2E;
        LoadRow(s_.staged + r * plan_.value_dim, 1, n, 1, s_.wide);
        s_.delta[r] =
            Dot(call_.out.Row<const float>(block.b, t, h), s_.wide, n);
      }
    }
  }

  // All rows on the keys [first_key, first_key + kBackwardKeys).
  bool KeyBlock(const QueryBlock& block, const BlockPart& part,
                int64_t first_key, int64_t job_begin, bool started) const {
    const VisibleKeys seen = KeysSeen(block, part, first_key);
    const int64_t last_row = block.rows - 1;
    const KeyGroups all = GroupsSeen(seen, 0, last_row, kBackwardKeys);
    const int64_t groups = all.end - all.begin;
    if (groups == 0) return false;
    const int64_t head = block.b * in_.problem->shape.kv_heads + block.kv_head;
    const int64_t at = head * plan_.groups + first_key / kDepth + all.begin;
    const int64_t row_pairs = (block.rows + kDepth - 1) / kDepth;
    for (int64_t pair = 0; pair < row_pairs; ++pair) {
      const KeyGroups mine = GroupsSeen(
          seen, pair * kDepth, std::min(pair * kDepth + kDepth - 1, last_row),
          kBackwardKeys);
      for (int64_t g = all.begin; g < all.end; ++g) {
        ScoreSquare(seen, mine, g, pair, g - all.begin, at + g - all.begin);
      }
    }
    const int64_t offset = first_key - job_begin + all.begin * kDepth;
    const TileOperand probs = LeftSquares(s_.probs),
                      d_scores = LeftSquares(s_.d_scores);
    const int64_t values = plan_.value_dim / kSide, dims = plan_.depth / kSide;
    TileGemm<true>(2 * groups, values, row_pairs, probs,
                   {s_.deep_d_out, kOperandTile, values * kOperandTile},
                   {s_.dv + offset * plan_.value_dim, values * kResultTile,
                    kResultTile, kSide});
    TileGemm<true>(
        2 * groups, dims, row_pairs, d_scores,
        {s_.deep_query, kOperandTile, dims * kOperandTile},
        {s_.dk + offset * plan_.depth, dims * kResultTile, kResultTile, kSide});
    // dQ^T = K^T dS^T, result tiles [depth / 16][rows / 16].
    TileGemm(
        started, dims, 2 * row_pairs, groups,
        {call_.packed.turned_keys + at * kDepth * plan_.depth, kOperandTile,
         dims * kOperandTile},
        {s_.deep_d_scores, kOperandTile, plan_.rows / kSide * kOperandTile},
        {s_.dq, plan_.rows / kSide * kResultTile, kResultTile, kSide});
    return true;
  }

  // P^T and dS^T as left operands [kBackwardKeys / 16][rows / 32].
  TileOperand LeftSquares(const Bf16* tiles) const {
    return {tiles, plan_.rows / kDepth * kOperandTile, kOperandTile};
  }

  // 32 keys x 32 rows: scores, dP, and from them P and dS. `slot` is the group
  // of keys in the operands, `at` the one in the packed keys.
  void ScoreSquare(const VisibleKeys& seen, const KeyGroups& groups, int64_t g,
                   int64_t pair, int64_t slot, int64_t at) const {
    if (g < groups.begin || g >= groups.end) {
      ClearSquare(pair, slot);
      return;
    }
    const int64_t depth = depth_tiles(), value_depth = value_tiles();
    constexpr int64_t kAcross = 2 * kResultTile;
    TileGemm<false>(2, 2, depth,
                    {call_.packed.keys + at * kDepth * plan_.depth,
                     depth * kOperandTile, kOperandTile},
                    {s_.query + pair * kDepth * plan_.depth,
                     depth * kOperandTile, kOperandTile},
                    {s_.scores, kAcross, kResultTile, kSide});
    TileGemm<false>(2, 2, value_depth,
                    {call_.packed.values + at * kDepth * plan_.value_dim,
                     value_depth * kOperandTile, kOperandTile},
                    {s_.d_out + pair * kDepth * plan_.value_dim,
                     value_depth * kOperandTile, kOperandTile},
                    {s_.d_probs, kAcross, kResultTile, kSide});
    if (g < groups.clean_begin || g >= groups.clean_end) {
      GradientSquare<true>(seen, g, pair, slot);
    } else {
      GradientSquare<false>(seen, g, pair, slot);
    }
  }

  Bf16* LeftRow(Bf16* tiles, int64_t slot, int64_t pair, int64_t key) const {
    return tiles +
           ((2 * slot + key / kSide) * (plan_.rows / kDepth) + pair) *
               kOperandTile +
           key % kSide * kDepth;
  }
  // dS^T as right operand [kBackwardKeys / 32][rows / 16].
  Bf16* DeepRow(int64_t slot, int64_t tile, int64_t key) const {
    return s_.deep_d_scores +
           (slot * (plan_.rows / kSide) + tile) * kOperandTile +
           key / 2 * kDepth;
  }

  void ClearSquare(int64_t pair, int64_t slot) const {
    const __m512i zero = _mm512_setzero_si512();
    for (int64_t key = 0; key < kDepth; ++key) {
      _mm512_store_si512(LeftRow(s_.probs, slot, pair, key), zero);
      _mm512_store_si512(LeftRow(s_.d_scores, slot, pair, key), zero);
      _mm512_store_si512(DeepRow(slot, 2 * pair + key % 2, key), zero);
    }
  }

  template <bool kMasked>
  void GradientSquare(const VisibleKeys& seen, int64_t g, int64_t pair,
                      int64_t slot) const {
    const __m512 factor = _mm512_set1_ps(factor_);
    __m512 lse[2], delta[2];
    __m512i begin[2], end[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const int64_t row = pair * kDepth + half * kSide;
      lse[half] = _mm512_load_ps(s_.lse + row);
      delta[half] = _mm512_load_ps(s_.delta + row);
      if constexpr (kMasked) {
        alignas(64) int32_t from[kSide], to[kSide];
        for (int64_t i = 0; i < kSide; ++i) {
          from[i] = ClampKey(seen.Begin(row + i));
          to[i] = ClampKey(seen.End(row + i));
        }
        begin[half] = _mm512_load_si512(from);
        end[half] = _mm512_load_si512(to);
      }
    }
    for (int64_t key = 0; key < kDepth; key += 2) {
      __m512 p[2][2], ds[2][2];  // [key][half of the rows]
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const int64_t at = ((key + k) / kSide * 2 + half) * kResultTile +
                             (key + k) % kSide * kSide;
          __m512 x = Exp2ForBf16(_mm512_fmsub_ps(_mm512_load_ps(s_.scores + at),
                                                 factor, lse[half]));
          if constexpr (kMasked) {
            const __m512i index =
                _mm512_set1_epi32(static_cast<int>(g * kDepth + key + k));
            x = _mm512_maskz_mov_ps(
                _mm512_cmpge_epi32_mask(index, begin[half]) &
                    _mm512_cmplt_epi32_mask(index, end[half]),
                x);
          }
          p[k][half] = x;
          ds[k][half] = _mm512_mul_ps(
              x, _mm512_sub_ps(_mm512_load_ps(s_.d_probs + at), delta[half]));
        }
        _mm512_store_si512(LeftRow(s_.probs, slot, pair, key + k),
                           RoundToBf16(p[k][0], p[k][1]));
        _mm512_store_si512(LeftRow(s_.d_scores, slot, pair, key + k),
                           RoundToBf16(ds[k][0], ds[k][1]));
      }
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        _mm512_store_si512(
            DeepRow(slot, 2 * pair + half, key),
            ZipBf16(RoundToBf16(ds[0][half]), RoundToBf16(ds[1][half])));
      }
    }
  }

  static int32_t ClampKey(int64_t key) {
    return static_cast<int32_t>(std::clamp<int64_t>(key, -1, 1 << 30));
  }

  // dQ^T back into rows, scaled and rotated back.
  void StoreQueryGradients(const QueryBlock& block, bool started,
                           bool add) const {
    const int64_t dim = in_.q.shape[3];
    const bool accumulate = add || call_.grads.accumulate_q;
    if (!started && accumulate) return;
    float* row = s_.rows;
    int64_t r = 0;
    for (int64_t t = block.begin; t < block.end; ++t) {
      const int64_t position = block.first_position + t - block.begin;
      for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++r) {
        if (!started) {
          std::fill_n(s_.rows, dim, 0.f);
        } else {
          if (r % kSide == 0) TurnRows(r / kSide);
          row = s_.rows + r % kSide * plan_.depth;
          RotateQuery(in_, WindowRotation(in_), position, -1, row);
        }
        StoreRows(row, dim, call_.grads.dq, block.b, t, 1, h, accumulate);
      }
    }
  }

  // Rows 16 tile .. 16 tile + 15 of dQ into s_.rows.
  void TurnRows(int64_t tile) const {
    const __m512 scale = _mm512_set1_ps(scale_);
    for (int64_t d = 0; d < plan_.depth; d += kSide) {
      const float* from =
          s_.dq + (d / kSide * (plan_.rows / kSide) + tile) * kResultTile;
      __m512i r[16];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kSide; ++i) {
        r[i] = _mm512_castps_si512(
            _mm512_mul_ps(scale, _mm512_load_ps(from + i * kSide)));
      }
      Transpose16(r);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kSide; ++i) {
        _mm512_store_si512(s_.rows + i * plan_.depth + d, r[i]);
      }
    }
  }

  // dK, scaled and rotated back, and dV of a job's keys onto the gradients.
  void AddKeyGradients(int64_t b, int64_t h, const BackwardJob& job) const {
    const Shape& shape = in_.problem->shape;
    const auto gather = [&](const float* tiles, int64_t key, int64_t padded,
                            float by) HWY_ATTR {
      const float* from = tiles + key / kSide * (padded / kSide) * kResultTile +
                          key % kSide * kSide;
      for (int64_t d = 0; d < padded; d += kSide) {
        _mm512_store_ps(s_.rows + d,
                        _mm512_mul_ps(_mm512_set1_ps(by),
                                      _mm512_load_ps(from + d * kSide)));
      }
    };
    for (int64_t key = 0; key < job.keys.size(); ++key) {
      const int64_t t = job.keys.begin + key;
      gather(s_.dk, key, plan_.depth, scale_);
      if (in_.rope) RotateRow(in_.rope, t, -1, s_.rows);
      StoreRows(s_.rows, shape.head_dim, call_.grads.dk, b, t, 1, h, true);
      gather(s_.dv, key, plan_.value_dim, 1);
      StoreRows(s_.rows, shape.value_dim, call_.grads.dv, b, t, 1, h, true);
    }
  }

  const Bf16BackwardCall& call_;
  const LocalInputs& in_;
  const Bf16BackwardPlan& plan_;
  const Bf16BackwardScratch& s_;
  float scale_, factor_;
};

void Bf16Backward(const Bf16BackwardCall& call, std::byte* scratch,
                  size_t step) {
  const Bf16BackwardPlan& plan = call.plan;
  const int threads = call.in.problem->threads;
  const auto own = [&](int thread) {
    Arena mine(scratch + static_cast<size_t>(thread) * step);
    return Bf16BackwardScratch(plan, &mine);
  };
  ForEachKeyGroup(threads, plan.heads, plan.groups,
                  [&](int64_t head, int64_t group, int thread) HWY_ATTR {
                    const Bf16BackwardScratch s = own(thread);
                    Bf16SoftmaxBackwardPass(call, s).PackGroup(head, group);
                  });
  for (int64_t phase = 0; phase < plan.phases; ++phase) {
    const int64_t jobs = plan.Jobs(phase);
    ParallelFor<TileScope>(threads, plan.heads * jobs,
                           [&](int64_t task, int thread) HWY_ATTR {
                             const Bf16BackwardScratch s = own(thread);
                             Bf16SoftmaxBackwardPass(call, s).Run(
                                 task / jobs, plan.Job(phase, task % jobs));
                           });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {
namespace {

// Queries before the first key are in no job: their gradients are zero.
void ClearBlindQueries(const Bf16BackwardPlan& plan, HeadRange heads,
                       const TensorView& dq) {
  const int64_t blind = std::min(-plan.first_position, plan.queries);
  for (int64_t b = 0; b < dq.shape[0]; ++b) {
    for (int64_t t = 0; t < blind; ++t) {
      for (int64_t h = heads.begin; h < heads.end; ++h) {
        std::fill_n(dq.Row<float>(b, t, h), dq.shape[3], 0.f);
      }
    }
  }
}

}  // namespace

bool UsesBf16SoftmaxBackward(const Problem& problem) {
  return UsesBf16Softmax(problem) && SinkCount(problem.spec.local) == 0 &&
         problem.local_softcap == 0;
}

size_t Bf16SoftmaxBackwardBytes(const Problem& problem) {
  const Bf16BackwardPlan plan(problem);
  const size_t step =
      BytesOf([&](Arena* arena) { Bf16BackwardScratch(plan, arena); });
  return step * static_cast<size_t>(problem.threads) +
         BytesOf([&](Arena* arena) { Bf16BackwardKeys(plan, arena); });
}

void Bf16SoftmaxBackward(const LocalInputs& inputs, const TensorView& lse,
                         const TensorView& out, const TensorView& d_out,
                         const BranchGrads& grads, Workspace workspace) {
  const Problem& problem = *inputs.problem;
  const Bf16BackwardPlan plan(problem);
  Arena arena(workspace.data);
  const Bf16BackwardKeys packed(plan, &arena);
  const size_t step = BytesOf([&](Arena* a) { Bf16BackwardScratch(plan, a); });
  [[maybe_unused]] std::byte* scratch =
      arena.Take<std::byte>(static_cast<int64_t>(step) * problem.threads);
  const HeadRange all = {0, problem.shape.kv_heads};
  if (!grads.accumulate_k) FillHeads(grads.dk, all, 0, problem.threads);
  if (!grads.accumulate_v) FillHeads(grads.dv, all, 0, problem.threads);
  if (!grads.accumulate_q) {
    ClearBlindQueries(plan, LocalHeads(problem.spec, problem.shape.query_heads),
                      grads.dq);
  }
  [[maybe_unused]] const Bf16BackwardCall call = {inputs, plan,  packed, lse,
                                                  out,    d_out, grads};
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::Bf16Backward(call, scratch, step);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
