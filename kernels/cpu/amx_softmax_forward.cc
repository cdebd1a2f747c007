#include "kernels/cpu/amx.h"
#include "kernels/cpu/amx_softmax.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/amx_softmax_forward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/amx_softmax-inl.h"

#ifndef RATTN_KERNELS_CPU_AMX_SOFTMAX_FORWARD_ONCE
#define RATTN_KERNELS_CPU_AMX_SOFTMAX_FORWARD_ONCE
namespace rattn {
namespace {

// Rows whose scores are held at a time, and keys: 32 x 256 fp32 scores and as
// many bf16 probabilities stay near the L1 cache.
constexpr int64_t kStripRows = 64;
constexpr int64_t kBlockKeys = 256;
// Rows that share one walk over the keys.
constexpr int64_t kMostRows = 256;

struct Plan {
  explicit Plan(const Problem& problem)
      : local(MakeLocalPlan(problem, kMostRows)),
        rows(RoundUp(local.rows, kStripRows)),
        depth(RoundUp(problem.shape.head_dim, 32)),
        value_dim(RoundUp(problem.shape.value_dim, 32)),
        groups((problem.shape.key_len + 31) / 32),
        heads(problem.shape.batch * problem.shape.kv_heads) {}

  LocalPlan local;
  int64_t rows;              // of a query block, in whole strips
  int64_t depth, value_dim;  // padded
  int64_t groups;            // of 32 keys
  int64_t heads;             // KV heads of all sequences
};

// Keys and values of all heads as right operands, per head and group of 32
// keys: K^T [2][depth / 32], V [value_dim / 16].
struct PackedKeys {
  PackedKeys(const Plan& plan, Arena* arena)
      : keys(arena->Take<Bf16>(plan.heads * plan.groups * 32 * plan.depth)),
        values(
            arena->Take<Bf16>(plan.heads * plan.groups * 32 * plan.value_dim)) {
  }
  Bf16* keys;
  Bf16* values;
};

// Buffers of one thread.
struct Scratch {
  Scratch(const Plan& plan, Arena* arena) {
    const int64_t widest = std::max(plan.depth, plan.value_dim);
    staged = arena->Take<Bf16>(std::max<int64_t>(plan.rows, 32) * widest);
    wide = arena->Take<float>(widest);
    query = arena->Take<Bf16>(plan.rows * plan.depth);
    scores = arena->Take<float>(kStripRows * kBlockKeys);
    probs = arena->Take<Bf16>(kStripRows * kBlockKeys);
    out = arena->Take<float>(plan.rows * plan.value_dim);
    sum = arena->Take<float>(plan.rows * 16);
    top = arena->Take<float>(plan.rows);
    started = arena->Take<bool>(plan.rows / kStripRows);
  }
  Bf16* staged;
  float* wide;
  Bf16* query;    // left operands [rows / 16][depth / 32]
  float* scores;  // result tiles [2][kBlockKeys / 16]
  Bf16* probs;    // left operands [2][kBlockKeys / 32]
  float* out;     // result tiles [rows / 16][value_dim / 16]
  float* sum;     // 16 partial sums per row of 2^(score - top)
  float* top;     // largest base-2 logit, sink logit included
  bool* started;  // per strip: whether `out` holds anything
};

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_AMX_SOFTMAX_FORWARD_ONCE

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// One row of scores: group g of 32 keys at row + g * 2 * kResultTile.
template <bool kMasked>
HWY_INLINE __m512 RowTop(const float* row, int64_t begin, int64_t end,
                         int64_t first_key, int64_t last_key, __m512 top) {
  for (int64_t g = begin; g < end; ++g) {
    for (int64_t half = 0; half < 2; ++half) {
      const __m512 x = _mm512_load_ps(row + (2 * g + half) * kResultTile);
      if constexpr (kMasked) {
        const __mmask16 mask =
            KeyMask(g * kDepth + half * kSide, first_key, last_key);
        top = _mm512_mask_max_ps(top, mask, top, x);
      } else {
        top = _mm512_max_ps(top, x);
      }
    }
  }
  return top;
}

// Turns scores into probabilities 2^(factor * score - top), rounded.
template <bool kMasked>
HWY_INLINE __m512 RowProbs(const float* row, int64_t begin, int64_t end,
                           int64_t first_key, int64_t last_key, __m512 factor,
                           __m512 shift, Bf16* probs, __m512 sum) {
  for (int64_t g = begin; g < end; ++g) {
    __m512 p[2];
#pragma GCC unroll 2
    for (int64_t half = 0; half < 2; ++half) {
      const __m512 x = _mm512_load_ps(row + (2 * g + half) * kResultTile);
      p[half] = Exp2ForBf16(_mm512_fmsub_ps(x, factor, shift));
      if constexpr (kMasked) {
        p[half] = _mm512_maskz_mov_ps(
            KeyMask(g * kDepth + half * kSide, first_key, last_key), p[half]);
      }
    }
    sum = _mm512_add_ps(sum, _mm512_add_ps(p[0], p[1]));
    _mm512_store_si512(probs + g * kOperandTile, RoundToBf16(p[0], p[1]));
  }
  return sum;
}

class ForwardPass {
 public:
  ForwardPass(const LocalInputs& in, const LocalOutputs& out,
              const PackedKeys& packed, const Scratch& scratch)
      : in_(in),
        out_(out),
        plan_(*in.problem),
        packed_(packed),
        s_(scratch),
        value_dim_(in.problem->shape.value_dim) {
    const double scale = LocalScale(*in.problem);
    factor_ = static_cast<float>(std::abs(scale) * M_LOG2E);
    sign_ = scale < 0 ? -1.f : 1.f;
  }

  void PackGroup(int64_t head, int64_t group) const {
    const int64_t kv_heads = in_.problem->shape.kv_heads;
    const int64_t b = head / kv_heads, h = head % kv_heads;
    const int64_t at = head * plan_.groups + group;
    const int64_t keys = in_.problem->shape.key_len;
    StageKeys(in_.k.view, b, h, group * kDepth, keys, plan_.depth, s_.wide,
              s_.staged);
    PackRightColumns(s_.staged, kDepth, plan_.depth,
                     packed_.keys + at * kDepth * plan_.depth);
    StageKeys(in_.v.view, b, h, group * kDepth, keys, plan_.value_dim, s_.wide,
              s_.staged);
    PackRightRows(s_.staged, kDepth, plan_.value_dim,
                  packed_.values + at * kDepth * plan_.value_dim);
  }

  void Run(const QueryBlock& block) const {
    StartRows(block);
    bool packed = false;
    Rotation rotation{};
    for (const BlockPart& part : BlockParts(in_, plan_.local, block)) {
      if (part.keys.size() == 0) continue;
      if (!packed || rotation != part.rotation) {
        StageBlock(in_, block, in_.q, sign_, part.rotation, plan_.depth,
                   s_.wide, s_.staged);
        PackLeftRows(s_.staged, RoundUp(block.rows, kSide), plan_.depth,
                     s_.query);
        rotation = part.rotation;
        packed = true;
      }
      const int64_t begin = part.keys.begin / kBlockKeys * kBlockKeys;
      for (int64_t key = begin; key < part.keys.end; key += kBlockKeys) {
        const VisibleKeys seen = KeysSeen(block, part, key);
        for (int64_t row = 0; row < block.rows; row += kStripRows) {
          Attend(block, seen, key, row);
        }
      }
    }
    FinishRows(block);
  }

 private:
  int64_t result_columns() const { return plan_.value_dim / kSide; }
  float* OutRow(int64_t row) const {
    return s_.out + row / kSide * result_columns() * kResultTile +
           row % kSide * kSide;
  }

  void StartRows(const QueryBlock& block) const {
    std::fill_n(s_.started, RoundUp(block.rows, kStripRows) / kStripRows,
                false);
    std::fill_n(s_.sum, block.rows * kSide, 0.f);
    for (int64_t r = 0; r < block.rows; ++r) {
      s_.top[r] = kMinusInfinity;
      if (!in_.sink_logit) continue;
      const int64_t h = block.heads.begin + r % block.heads.size();
      const float sink =
          static_cast<float>(in_.sink_logit.Get(0, 0, 0, h)) * kLog2E;
      if (sink == kMinusInfinity) continue;
      s_.top[r] = sink;
      s_.sum[r * kSide] = 1;
    }
  }

  // One strip of rows on the keys of one block.
  void Attend(const QueryBlock& block, const VisibleKeys& seen,
              int64_t first_key, int64_t first_row) const {
    const int64_t rows = std::min(kStripRows, block.rows - first_row);
    const KeyGroups groups =
        GroupsSeen(seen, first_row, first_row + rows - 1, kBlockKeys);
    const int64_t count = groups.end - groups.begin;
    if (count == 0) return;
    const int64_t strips = (rows + kSide - 1) / kSide;
    const int64_t head = block.b * in_.problem->shape.kv_heads + block.kv_head;
    const int64_t group =
        head * plan_.groups + first_key / kDepth + groups.begin;
    const int64_t depth = plan_.depth / kDepth;
    const TileOperand query = {s_.query + first_row * plan_.depth,
                               depth * kOperandTile, kOperandTile};
    const TileOperand keys = {packed_.keys + group * kDepth * plan_.depth,
                              depth * kOperandTile, kOperandTile};
    constexpr int64_t kDown = kBlockKeys / kSide * kResultTile;
    TileGemm<false>(strips, 2 * count, depth, query, keys,
                    {s_.scores + 2 * groups.begin * kResultTile, kDown,
                     kResultTile, kSide});
    Softmax(seen, groups, first_row, rows);
    bool& started = s_.started[first_row / kStripRows];
    const TileOperand probs = {s_.probs + groups.begin * kOperandTile,
                               kBlockKeys / kDepth * kOperandTile,
                               kOperandTile};
    const TileOperand values = {
        packed_.values + group * kDepth * plan_.value_dim, kOperandTile,
        result_columns() * kOperandTile};
    TileGemm(started, strips, result_columns(), count, probs, values,
             {OutRow(first_row), result_columns() * kResultTile, kResultTile,
              kSide});
    started = true;
  }

  // Maxima and sums of a strip move on, its scores become probabilities.
  void Softmax(const VisibleKeys& seen, const KeyGroups& groups,
               int64_t first_row, int64_t rows) const {
    const __m512 factor = _mm512_set1_ps(factor_);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = first_row + i;
      const float* row =
          s_.scores + i / kSide * (kBlockKeys * kSide) + i % kSide * kSide;
      Bf16* probs =
          s_.probs + i / kSide * (kBlockKeys * kSide) + i % kSide * kDepth;
      const int64_t first = seen.Begin(r), last = seen.End(r);
      __m512 best = _mm512_set1_ps(kMinusInfinity);
      best = RowTop<true>(row, groups.begin, groups.clean_begin, first, last,
                          best);
      best = RowTop<false>(row, groups.clean_begin, groups.clean_end, first,
                           last, best);
      best = RowTop<true>(row, groups.clean_end, groups.end, first, last, best);
      const float top = _mm512_reduce_max_ps(best) * factor_;
      if (!(top <= s_.top[r])) MoveTop(r, top);
      const __m512 shift = _mm512_set1_ps(s_.top[r]);
      __m512 sum = _mm512_load_ps(s_.sum + r * kSide);
      sum = RowProbs<true>(row, groups.begin, groups.clean_begin, first, last,
                           factor, shift, probs, sum);
      sum = RowProbs<false>(row, groups.clean_begin, groups.clean_end, first,
                            last, factor, shift, probs, sum);
      sum = RowProbs<true>(row, groups.clean_end, groups.end, first, last,
                           factor, shift, probs, sum);
      _mm512_store_ps(s_.sum + r * kSide, sum);
    }
  }

  void MoveTop(int64_t row, float top) const {
    const float by = std::exp2(s_.top[row] - top);
    s_.top[row] = top;
    float* sum = s_.sum + row * kSide;
    for (int64_t i = 0; i < kSide; ++i) sum[i] *= by;
    if (!s_.started[row / kStripRows]) return;
    float* out = OutRow(row);
    for (int64_t j = 0; j < result_columns(); ++j) {
      for (int64_t i = 0; i < kSide; ++i) out[j * kResultTile + i] *= by;
    }
  }

  // Sums become lse; rows without keys get 0 and -inf.
  void FinishRows(const QueryBlock& block) const {
    int64_t r = 0;
    for (int64_t t = block.begin; t < block.end; ++t) {
      for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++r) {
        const float sum =
            _mm512_reduce_add_ps(_mm512_load_ps(s_.sum + r * kSide));
        const float by =
            !s_.started[r / kStripRows] || sum == 0 ? 0.f : 1 / sum;
        StoreOut(block.b, t, h, OutRow(r), by);
        if (out_.lse) {
          *out_.lse.Row<float>(block.b, t, h) =
              sum == 0 ? kMinusInfinity : (s_.top[r] + std::log2(sum)) * kLn2;
        }
        if (out_.max_logits) {
          *out_.max_logits.Row<float>(block.b, t, h) = s_.top[r] * kLn2;
        }
      }
    }
  }

  void StoreOut(int64_t b, int64_t t, int64_t h, const float* tiles,
                float by) const {
    const __m512 factor = _mm512_set1_ps(by);
    const bool none = by == 0;
    for (int64_t j = 0; j * kSide < value_dim_; ++j) {
      const __m512 x =
          none ? _mm512_setzero_ps()
               : _mm512_mul_ps(factor, _mm512_load_ps(tiles + j * kResultTile));
      _mm512_store_ps(s_.wide + j * kSide, x);
    }
    StoreRows(s_.wide, value_dim_, out_.out, b, t, 1, h, false);
  }

  const LocalInputs& in_;
  const LocalOutputs& out_;
  const Plan plan_;
  const PackedKeys& packed_;
  const Scratch& s_;
  const int64_t value_dim_;
  float factor_, sign_;
};

void AmxForward(const LocalInputs& in, const LocalOutputs& out,
                Workspace workspace) {
  const Problem& problem = *in.problem;
  const Plan plan(problem);
  Arena arena(workspace.data);
  const PackedKeys packed(plan, &arena);
  const size_t step = BytesOf([&](Arena* a) { Scratch(plan, a); });
  std::byte* scratch = arena.Take<std::byte>(step * problem.threads);
  const auto own = [&](int thread) {
    Arena mine(scratch + thread * step);
    return Scratch(plan, &mine);
  };
  constexpr int64_t kPackGroups = 16;
  const int64_t packs = (plan.groups + kPackGroups - 1) / kPackGroups;
  ParallelFor(problem.threads, plan.heads * packs,
              [&](int64_t task, int thread) HWY_ATTR {
                const Scratch s = own(thread);
                const ForwardPass pass(in, out, packed, s);
                const int64_t begin = task % packs * kPackGroups;
                const int64_t end = std::min(begin + kPackGroups, plan.groups);
                for (int64_t g = begin; g < end; ++g) {
                  pass.PackGroup(task / packs, g);
                }
              });
  ParallelFor<AmxTiles>(problem.threads, BlockTasks(problem, plan.local),
                        [&](int64_t task, int thread) HWY_ATTR {
                          const Scratch s = own(thread);
                          const QueryBlock block =
                              BlockOfTask(in, plan.local, task);
                          if (block.rows > 0)
                            ForwardPass(in, out, packed, s).Run(block);
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
  const Plan plan(problem);
  const size_t step = BytesOf([&](Arena* arena) { Scratch(plan, arena); });
  return step * problem.threads +
         BytesOf([&](Arena* arena) { PackedKeys(plan, arena); });
}

void AmxSoftmaxForward(const LocalInputs& inputs, const LocalOutputs& outputs,
                       Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::AmxForward(inputs, outputs, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
