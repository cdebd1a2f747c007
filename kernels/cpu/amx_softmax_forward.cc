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

// A strip of rows takes its keys in pieces: 64 x 64 fp32 scores are 16 KiB and
// stay in the L1 cache; the probabilities of a block of pieces are multiplied
// by V together, so that the accumulators pass by once per block.
constexpr int64_t kStripRows = 64;
constexpr int64_t kPieceKeys = 64;
constexpr int64_t kBlockKeys = 256;
// Rows that share one walk over the keys.
constexpr int64_t kMostRows = 256;

// Base-2 logits may pass the shift of their row by this much before the row is
// rescaled: its probabilities are then at most 2^8.
constexpr float kSlack = 8;

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
    scores = arena->Take<float>(kStripRows * kPieceKeys);
    probs = arena->Take<Bf16>(kStripRows * kBlockKeys);
    out = arena->Take<float>(plan.rows * plan.value_dim);
    sum = arena->Take<float>(plan.rows * 16);
    top = arena->Take<float>(plan.rows * 16);
    shift = arena->Take<float>(plan.rows);
    started = arena->Take<bool>(plan.rows / kStripRows);
  }
  Bf16* staged;
  float* wide;
  Bf16* query;    // left operands [rows / 16][depth / 32]
  float* scores;  // result tiles [kStripRows / 16][kPieceKeys / 16]
  Bf16* probs;    // left operands [kStripRows / 16][kBlockKeys / 32]
  float* out;     // result tiles [rows / 16][value_dim / 16]
  float* sum;     // 16 partial sums per row of 2^(logit - shift)
  float* top;     // 16 maxima per row of the scores
  float* shift;   // base-2 logit, not kSlack below any that was seen
  bool* started;  // per strip: whether `out` holds anything
};

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_AMX_SOFTMAX_FORWARD_ONCE

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Scores of one row: 32 keys of group g at row + g * 2 * kResultTile.
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

// Writes the probabilities 2^(factor * score - shift), rounded; their sums and
// the maxima of the scores move on.
template <bool kMasked>
HWY_INLINE void RowProbs(const float* row, int64_t begin, int64_t end,
                         int64_t first_key, int64_t last_key, __m512 factor,
                         __m512 shift, Bf16* probs, __m512* top, __m512* sum) {
  for (int64_t g = begin; g < end; ++g) {
    __m512 p[2];
#pragma GCC unroll 2
    for (int64_t half = 0; half < 2; ++half) {
      const __m512 x = _mm512_load_ps(row + (2 * g + half) * kResultTile);
      p[half] = Exp2ForBf16(_mm512_fmsub_ps(x, factor, shift));
      if constexpr (kMasked) {
        const __mmask16 mask =
            KeyMask(g * kDepth + half * kSide, first_key, last_key);
        p[half] = _mm512_maskz_mov_ps(mask, p[half]);
        *top = _mm512_mask_max_ps(*top, mask, *top, x);
      } else {
        *top = _mm512_max_ps(*top, x);
      }
    }
    *sum = _mm512_add_ps(*sum, _mm512_add_ps(p[0], p[1]));
    _mm512_store_si512(probs + g * kOperandTile, RoundToBf16(p[0], p[1]));
  }
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
        for (int64_t row = 0; row < block.rows; row += kStripRows) {
          Attend(block, part, key, row);
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
    std::fill_n(s_.top, block.rows * kSide, kMinusInfinity);
    std::fill_n(s_.shift, block.rows, kMinusInfinity);
    if (!in_.sink_logit) return;
    for (int64_t r = 0; r < block.rows; ++r) {
      const int64_t h = block.heads.begin + r % block.heads.size();
      const float sink = static_cast<float>(in_.sink_logit.Get(0, 0, 0, h));
      if (sink == kMinusInfinity) continue;
      s_.top[r * kSide] = sink * kLog2E / factor_;
      s_.shift[r] = sink * kLog2E;
      s_.sum[r * kSide] = 1;
    }
  }

  // A strip of rows on the keys [first_key, first_key + kBlockKeys).
  void Attend(const QueryBlock& block, const BlockPart& part, int64_t first_key,
              int64_t first_row) const {
    const int64_t last_row = std::min(first_row + kStripRows, block.rows) - 1;
    const int64_t head = block.b * in_.problem->shape.kv_heads + block.kv_head;
    const int64_t group = head * plan_.groups + first_key / kDepth;
    Strip strip{first_row, last_row, group, 0, 0};
    for (int64_t key = 0; key < kBlockKeys; key += kPieceKeys) {
      const VisibleKeys seen = KeysSeen(block, part, first_key + key);
      const KeyGroups groups =
          GroupsSeen(seen, first_row, last_row, kPieceKeys);
      if (groups.begin == groups.end) continue;
      const int64_t at = key / kDepth;
      if (strip.begin == strip.end) strip.begin = strip.end = at + groups.begin;
      Scores(strip, at, groups);
      Softmax(seen, groups, at, &strip);
      strip.end = at + groups.end;
    }
    Accumulate(&strip);
  }

  // Rows, and the groups of 32 keys of the block whose probabilities wait to
  // be multiplied by V; `group` is the block's first in the packed keys.
  struct Strip {
    int64_t first_row, last_row, group, begin, end;
    int64_t tiles() const { return (last_row - first_row) / kSide + 1; }
  };

  void Scores(const Strip& strip, int64_t at, const KeyGroups& groups) const {
    const int64_t depth = plan_.depth / kDepth;
    const int64_t group = strip.group + at + groups.begin;
    TileGemm<false>(strip.tiles(), 2 * (groups.end - groups.begin), depth,
                    {s_.query + strip.first_row * plan_.depth,
                     depth * kOperandTile, kOperandTile},
                    {packed_.keys + group * kDepth * plan_.depth,
                     depth * kOperandTile, kOperandTile},
                    {s_.scores + 2 * groups.begin * kResultTile,
                     kPieceKeys / kSide * kResultTile, kResultTile, kSide});
  }

  // O += P V of what waits.
  void Accumulate(Strip* strip) const {
    if (strip->begin == strip->end) return;
    bool& started = s_.started[strip->first_row / kStripRows];
    TileGemm(started, strip->tiles(), result_columns(),
             strip->end - strip->begin,
             {s_.probs + strip->begin * kOperandTile,
              kBlockKeys / kDepth * kOperandTile, kOperandTile},
             {packed_.values +
                  (strip->group + strip->begin) * kDepth * plan_.value_dim,
              kOperandTile, result_columns() * kOperandTile},
             {OutRow(strip->first_row), result_columns() * kResultTile,
              kResultTile, kSide});
    started = true;
    strip->begin = strip->end;
  }

  // Turns the scores of a piece, which begins at group `at` of its block, into
  // probabilities; sums move on.
  void Softmax(const VisibleKeys& seen, const KeyGroups& groups, int64_t at,
               Strip* strip) const {
    const __m512 factor = _mm512_set1_ps(factor_);
    for (int64_t r = strip->first_row; r <= strip->last_row; ++r) {
      const int64_t i = r - strip->first_row;
      const float* row =
          s_.scores + i / kSide * (kPieceKeys * kSide) + i % kSide * kSide;
      Bf16* probs = s_.probs + i / kSide * (kBlockKeys * kSide) +
                    at * kOperandTile + i % kSide * kDepth;
      const int64_t first = seen.Begin(r), last = seen.End(r);
      __m512 top = _mm512_load_ps(s_.top + r * kSide);
      if (s_.shift[r] == kMinusInfinity) {
        s_.shift[r] = FirstShift(row, groups, first, last);
      }
      while (true) {
        const __m512 shift = _mm512_set1_ps(s_.shift[r]);
        __m512 sum = _mm512_load_ps(s_.sum + r * kSide);
        RowProbs<true>(row, groups.begin, groups.clean_begin, first, last,
                       factor, shift, probs, &top, &sum);
        RowProbs<false>(row, groups.clean_begin, groups.clean_end, first, last,
                        factor, shift, probs, &top, &sum);
        RowProbs<true>(row, groups.clean_end, groups.end, first, last, factor,
                       shift, probs, &top, &sum);
        const __m512 limit = _mm512_add_ps(shift, _mm512_set1_ps(kSlack));
        if (_mm512_cmp_ps_mask(_mm512_mul_ps(top, factor), limit, _CMP_GT_OQ) ==
            0) {
          _mm512_store_ps(s_.sum + r * kSide, sum);
          break;
        }
        Accumulate(strip);
        MoveShift(r, _mm512_reduce_max_ps(top) * factor_);
      }
      _mm512_store_ps(s_.top + r * kSide, top);
    }
  }

  // The largest base-2 logit of a row's first keys.
  float FirstShift(const float* row, const KeyGroups& groups, int64_t first,
                   int64_t last) const {
    __m512 top = _mm512_set1_ps(kMinusInfinity);
    top = RowTop<true>(row, groups.begin, groups.clean_begin, first, last, top);
    top = RowTop<false>(row, groups.clean_begin, groups.clean_end, first, last,
                        top);
    top = RowTop<true>(row, groups.clean_end, groups.end, first, last, top);
    return _mm512_reduce_max_ps(top) * factor_;
  }

  void MoveShift(int64_t row, float shift) const {
    const __m512 by = _mm512_set1_ps(std::exp2(s_.shift[row] - shift));
    s_.shift[row] = shift;
    const auto scale = [&](float* at) HWY_ATTR {
      _mm512_store_ps(at, _mm512_mul_ps(by, _mm512_load_ps(at)));
    };
    scale(s_.sum + row * kSide);
    if (!s_.started[row / kStripRows]) return;
    for (int64_t j = 0; j < result_columns(); ++j) {
      scale(OutRow(row) + j * kResultTile);
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
              sum == 0 ? kMinusInfinity : (s_.shift[r] + std::log2(sum)) * kLn2;
        }
        if (out_.max_logits) {
          const float top =
              _mm512_reduce_max_ps(_mm512_load_ps(s_.top + r * kSide));
          *out_.max_logits.Row<float>(block.b, t, h) = top * factor_ * kLn2;
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
