// Pieces that the softmax passes on AMX tiles share. As amx_tiles-inl.h, for
// AVX-512 only.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/amx_softmax.h"

#if defined(RATTN_KERNELS_CPU_AMX_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_AMX_SOFTMAX_INL_H_
#undef RATTN_KERNELS_CPU_AMX_SOFTMAX_INL_H_
#else
#define RATTN_KERNELS_CPU_AMX_SOFTMAX_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/amx_tiles-inl.h"
#include "kernels/cpu/softmax_tile-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// 2^x for x <= 127, relative error below 3.2e-6 (2.9e-6 of the polynomial on
// [0, 1), minimax among those that are 1 at 0, and its rounding), far below the
// rounding to bf16 that follows. Exact at 0: the largest weight of a row is 1.
// Small powers fade into denormals and 0.
HWY_INLINE __m512 Exp2ForBf16(__m512 x) {
  constexpr int kFloor = 1;
  const __m512 f = _mm512_reduce_ps(x, kFloor);
  __m512 p = _mm512_set1_ps(0.0134266068f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.05224259865f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2412801468f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6930448521f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.f));
  return _mm512_scalef_ps(p, x);
}

// n values, rounded to bf16 and padded with zeros to `padded`, a multiple of
// 32.
inline void RoundRow(const float* x, int64_t n, int64_t padded, Bf16* out) {
  for (int64_t i = 0; i < padded; i += 2 * kSide) {
    const auto load = [&](int64_t at) HWY_ATTR {
      const int64_t rest = std::clamp<int64_t>(n - at, 0, kSide);
      return _mm512_maskz_loadu_ps((1u << rest) - 1, x + at);
    };
    _mm512_storeu_si512(out + i, RoundToBf16(load(i), load(i + kSide)));
  }
}

// One row of bf16 or fp32 values as RoundRow leaves it; `wide` holds n floats.
inline void StageRow(const TensorView& view, int64_t b, int64_t t, int64_t h,
                     int64_t padded, float* wide, Bf16* out) {
  const int64_t n = view.shape[3];
  if (view.dtype == Dtype::kBF16 && view.stride[3] == 1) {
    std::memcpy(out, view.Row<const Bf16>(b, t, h), n * sizeof(Bf16));
    std::fill(out + n, out + padded, Bf16{});
    return;
  }
  LoadRows(view, b, t, 1, h, 1, wide, n);
  RoundRow(wide, n, padded, out);
}

// Rows of a query block, row-major [tiles * 16, padded]; rows and columns that
// do not exist are zero. `sign` multiplies, `rotation` turns.
inline void StageBlock(const LocalInputs& in, const QueryBlock& block,
                       const TensorView& view, float sign, Rotation rotation,
                       int64_t padded, float* wide, Bf16* out) {
  const bool plain = rotation == Rotation::kNone && sign == 1;
  Bf16* row = out;
  for (int64_t t = block.begin; t < block.end; ++t) {
    const int64_t position = block.first_position + t - block.begin;
    for (int64_t h = block.heads.begin; h < block.heads.end; ++h) {
      if (plain) {
        StageRow(view, block.b, t, h, padded, wide, row);
      } else {
        LoadRows(view, block.b, t, 1, h, sign, wide, view.shape[3]);
        RotateQuery(in, rotation, position, 1, wide);
        RoundRow(wide, view.shape[3], padded, row);
      }
      row += padded;
    }
  }
  std::fill(row, out + RoundUp(block.rows, kSide) * padded, Bf16{});
}

// 32 key or value rows of one head from position `first` on; those at or after
// `end` are zero.
inline void StageKeys(const TensorView& view, int64_t b, int64_t h,
                      int64_t first, int64_t end, int64_t padded, float* wide,
                      Bf16* out) {
  for (int64_t t = first; t < first + kDepth; ++t, out += padded) {
    if (t < end) {
      StageRow(view, b, t, h, padded, wide, out);
    } else {
      std::fill_n(out, padded, Bf16{});
    }
  }
}

// [rows, padded] -> left operands [rows / 16][padded / 32].
inline void PackLeftRows(const Bf16* x, int64_t rows, int64_t padded,
                         Bf16* tiles) {
  for (int64_t i = 0; i < rows; i += kSide) {
    for (int64_t k = 0; k < padded; k += kDepth, tiles += kOperandTile) {
      PackLeft(x + i * padded + k, padded, tiles);
    }
  }
}
// Rows become columns: right operands [rows / 16][padded / 32].
inline void PackRightColumns(const Bf16* x, int64_t rows, int64_t padded,
                             Bf16* tiles) {
  for (int64_t j = 0; j < rows; j += kSide) {
    for (int64_t k = 0; k < padded; k += kDepth, tiles += kOperandTile) {
      PackRightTransposed(x + j * padded + k, padded, tiles);
    }
  }
}
// Rows are the depth: right operands [rows / 32][padded / 16].
inline void PackRightRows(const Bf16* x, int64_t rows, int64_t padded,
                          Bf16* tiles) {
  for (int64_t k = 0; k < rows; k += kDepth) {
    for (int64_t j = 0; j < padded; j += kSide, tiles += kOperandTile) {
      PackRight(x + k * padded + j, padded, tiles);
    }
  }
}

// Which keys, counted from the first of a key block, each row of a block sees:
// [Begin(r), End(r)).
struct VisibleKeys {
  int64_t group;
  int64_t begin, end;  // keys of the part that exist
  int64_t low, high;   // row of position offset p: (low + p, high + p]
  int64_t Begin(int64_t row) const {
    return std::max(begin, low + row / group + 1);
  }
  int64_t End(int64_t row) const {
    return std::min(end, high + row / group + 1);
  }
};

inline VisibleKeys KeysSeen(const QueryBlock& block, const BlockPart& part,
                            int64_t first) {
  const int64_t high = block.first_position - first;
  return {block.heads.size(), part.keys.begin - first, part.keys.end - first,
          high - part.window, high};
}

// Groups of 32 keys [begin, end) of a key block that some row of [first_row,
// last_row] sees, and those [clean_begin, clean_end) that all of them see.
struct KeyGroups {
  int64_t begin, clean_begin, clean_end, end;
};

inline KeyGroups GroupsSeen(const VisibleKeys& seen, int64_t first_row,
                            int64_t last_row, int64_t keys) {
  const auto clamp = [&](int64_t key) {
    return std::clamp<int64_t>(key, 0, keys);
  };
  KeyGroups groups;
  groups.begin = clamp(seen.Begin(first_row)) / kDepth;
  groups.end = (clamp(seen.End(last_row)) + kDepth - 1) / kDepth;
  groups.end = std::max(groups.end, groups.begin);
  groups.clean_begin =
      std::clamp((clamp(seen.Begin(last_row)) + kDepth - 1) / kDepth,
                 groups.begin, groups.end);
  groups.clean_end = std::clamp(clamp(seen.End(first_row)) / kDepth,
                                groups.clean_begin, groups.end);
  return groups;
}

HWY_INLINE __mmask16 KeyMask(int64_t first, int64_t begin, int64_t end) {
  const __m512i key = _mm512_add_epi32(
      _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
      _mm512_set1_epi32(static_cast<int>(first)));
  const auto bound = [](int64_t x) HWY_ATTR {
    return _mm512_set1_epi32(
        static_cast<int>(std::clamp<int64_t>(x, -1, 1 << 30)));
  };
  return _mm512_cmpge_epi32_mask(key, bound(begin)) &
         _mm512_cmplt_epi32_mask(key, bound(end));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
