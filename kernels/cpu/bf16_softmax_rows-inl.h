// From scores to probabilities, row by row: the vector half of the softmax
// forward on bf16 tiles. As bf16_tiles-inl.h, for AVX-512 only.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/bf16_forward_plan.h"

#if defined(RATTN_KERNELS_CPU_BF16_SOFTMAX_ROWS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_SOFTMAX_ROWS_INL_H_
#undef RATTN_KERNELS_CPU_BF16_SOFTMAX_ROWS_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_SOFTMAX_ROWS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/bf16_softmax-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Base-2 logits may pass the shift of their row by this much before the row is
// rescaled: its probabilities are then at most 2^8.
inline constexpr float kSlack = 8;
inline constexpr int64_t kPieceGroups = kPieceKeys / kDepth;

// The rows of a strip on the keys of a block: probabilities of its groups of 32
// keys [begin, end) wait to be multiplied by V.
struct Strip {
  int64_t first_row = 0, last_row = -1;
  int64_t group = 0;  // of the block's first keys among all packed ones
  int64_t begin = 0, end = 0;
  Bf16* probs = nullptr;  // left operands [row / 16][kBlockKeys / 32]
  int64_t tiles() const { return (last_row - first_row) / kSide + 1; }
  Bf16* Probs(int64_t row, int64_t at) const {
    const int64_t i = row - first_row;
    return probs + i / kSide * (kBlockKeys * kSide) + at * kOperandTile +
           i % kSide * kDepth;
  }
};

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
#pragma GCC unroll 2
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

// The scores of a strip and a piece of keys on their way to probabilities, some
// rows at a time. Rows whose scores rise past their shift are put off: only
// between two products may what was summed before be rescaled.
class PieceSoftmax {
 public:
  // Nothing to do.
  PieceSoftmax() = default;
  // `at`: the piece's first group of 32 keys in its block.
  PieceSoftmax(const VisibleKeys& seen, const KeyGroups& groups, int64_t at,
               const float* scores, float factor, const Strip& strip,
               const Bf16ForwardScratch* scratch)
      : seen_(seen),
        groups_(groups),
        at_(at),
        scores_(scores),
        factor_(factor),
        strip_(strip),
        s_(scratch),
        next_(strip.first_row),
        end_(strip.last_row + 1),
        clean_(groups.clean_begin == 0 && groups.clean_end == kPieceGroups) {}

  // The next rows, at most `count`.
  HWY_INLINE void Run(int64_t count) {
    const int64_t end = std::min(next_ + count, end_);
    if (clean_) {
      for (; next_ < end; ++next_) RunRow<true>(next_);
    } else {
      for (; next_ < end; ++next_) RunRow<false>(next_);
    }
  }

  // All that is left. `out_columns`: result tiles in a row of O.
  void Finish(int64_t out_columns) {
    Run(end_ - next_);
    for (int64_t i = 0; i < late_count_; ++i) {
      const int64_t row = strip_.first_row + late_[i];
      MoveShift(row, out_columns);
      RunRow<false>(row);
    }
    late_count_ = 0;
  }

 private:
  template <bool kClean>
  HWY_INLINE void RunRow(int64_t r) {
    const int64_t i = r - strip_.first_row;
    const float* row =
        scores_ + i / kSide * (kPieceKeys * kSide) + i % kSide * kSide;
    Bf16* probs = strip_.Probs(r, at_);
    const int64_t first = kClean ? 0 : seen_.Begin(r);
    const int64_t last = kClean ? kPieceKeys : seen_.End(r);
    if (s_->shift[r] == kMinusInfinity) {
      s_->shift[r] = FirstShift(row, first, last);
    }
    const __m512 factor = _mm512_set1_ps(factor_);
    const __m512 shift = _mm512_set1_ps(s_->shift[r]);
    __m512 top = _mm512_load_ps(s_->top + r * kSide);
    __m512 sum = _mm512_load_ps(s_->sum + r * kSide);
    if constexpr (kClean) {
      RowProbs<false>(row, 0, kPieceGroups, 0, 0, factor, shift, probs, &top,
                      &sum);
    } else {
      RowProbs<true>(row, groups_.begin, groups_.clean_begin, first, last,
                     factor, shift, probs, &top, &sum);
      RowProbs<false>(row, groups_.clean_begin, groups_.clean_end, first, last,
                      factor, shift, probs, &top, &sum);
      RowProbs<true>(row, groups_.clean_end, groups_.end, first, last, factor,
                     shift, probs, &top, &sum);
    }
    _mm512_store_ps(s_->top + r * kSide, top);
    const __m512 limit = _mm512_add_ps(shift, _mm512_set1_ps(kSlack));
    if (_mm512_cmp_ps_mask(_mm512_mul_ps(top, factor), limit, _CMP_GT_OQ)) {
      late_[late_count_++] = static_cast<uint8_t>(i);
    } else {
      _mm512_store_ps(s_->sum + r * kSide, sum);
    }
  }

  // The largest base-2 logit of a row's first keys.
  float FirstShift(const float* row, int64_t first, int64_t last) const {
    __m512 top = _mm512_set1_ps(kMinusInfinity);
    top =
        RowTop<true>(row, groups_.begin, groups_.clean_begin, first, last, top);
    top = RowTop<false>(row, groups_.clean_begin, groups_.clean_end, first,
                        last, top);
    top = RowTop<true>(row, groups_.clean_end, groups_.end, first, last, top);
    return _mm512_reduce_max_ps(top) * factor_;
  }

  // By a power of two: exact for sums, for O and for the rounded
  // probabilities that wait.
  void MoveShift(int64_t r, int64_t out_columns) const {
    const float top =
        _mm512_reduce_max_ps(_mm512_load_ps(s_->top + r * kSide)) * factor_;
    const float steps = std::ceil(top - s_->shift[r]);
    const __m512 by = _mm512_set1_ps(std::exp2(-steps));
    s_->shift[r] += steps;
    const auto scale = [&](float* at) HWY_ATTR {
      _mm512_store_ps(at, _mm512_mul_ps(by, _mm512_load_ps(at)));
    };
    scale(s_->sum + r * kSide);
    for (int64_t g = strip_.begin; g < at_ + groups_.begin; ++g) {
      auto* at = reinterpret_cast<__m256i*>(strip_.Probs(r, g));
      const auto wide = [&](int64_t half) HWY_ATTR {
        return _mm512_mul_ps(
            by, _mm512_castsi512_ps(_mm512_slli_epi32(
                    _mm512_cvtepu16_epi32(_mm256_load_si256(at + half)), 16)));
      };
      _mm512_store_si512(at, RoundToBf16(wide(0), wide(1)));
    }
    if (!s_->started[r / kStripRows]) return;
    float* out =
        s_->out + r / kSide * out_columns * kResultTile + r % kSide * kSide;
    for (int64_t j = 0; j < out_columns; ++j) scale(out + j * kResultTile);
  }

  VisibleKeys seen_{};
  KeyGroups groups_{};
  int64_t at_ = 0;
  const float* scores_ = nullptr;
  float factor_ = 0;
  Strip strip_;
  const Bf16ForwardScratch* s_ = nullptr;
  int64_t next_ = 0, end_ = 0;
  bool clean_ = false;
  int64_t late_count_ = 0;
  uint8_t late_[kStripRows] = {};
};

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
