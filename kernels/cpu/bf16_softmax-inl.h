// Pieces that the softmax passes on bf16 tiles share. As bf16_tiles-inl.h, for
// AVX-512 only.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/bf16_softmax.h"

#if defined(RATTN_KERNELS_CPU_BF16_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_SOFTMAX_INL_H_
#undef RATTN_KERNELS_CPU_BF16_SOFTMAX_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_SOFTMAX_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/bf16_tiles-inl.h"
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

// The first `count` (up to 16, none if negative) lanes.
HWY_INLINE __mmask16 FirstLanes(int64_t count) {
  return static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, kSide)) -
                                1);
}
HWY_INLINE __mmask32 FirstPairs(int64_t count) {
  const auto n = static_cast<uint32_t>(std::clamp<int64_t>(count, 0, kDepth));
  return static_cast<__mmask32>((uint64_t{1} << n) - 1);
}

// n values, rounded to bf16 and padded with zeros to `padded`, a multiple of
// 32; `step` from one 32 values to the next.
inline void RoundRow(const float* x, int64_t n, int64_t padded, Bf16* out,
                     int64_t step = kDepth) {
  for (int64_t i = 0; i < padded; i += kDepth, out += step) {
    const auto load = [&](int64_t at) HWY_ATTR {
      return _mm512_maskz_loadu_ps(FirstLanes(n - at), x + at);
    };
    _mm512_storeu_si512(out, RoundToBf16(load(i), load(i + kSide)));
  }
}

// n bf16 values as RoundRow leaves them.
inline void CopyRow(const Bf16* row, int64_t n, int64_t padded, Bf16* out,
                    int64_t step = kDepth) {
  for (int64_t i = 0; i < padded; i += kDepth, out += step) {
    _mm512_storeu_si512(out,
                        _mm512_maskz_loadu_epi16(FirstPairs(n - i), row + i));
  }
}

// One row of bf16 or fp32 values as RoundRow leaves it; `wide` holds n floats.
inline void StageRow(const TensorView& view, int64_t b, int64_t t, int64_t h,
                     int64_t padded, float* wide, Bf16* out,
                     int64_t step = kDepth) {
  const int64_t n = view.shape[3];
  if (view.dtype != Dtype::kBF16 || view.stride[3] != 1) {
    LoadRows(view, b, t, 1, h, 1, wide, n);
    RoundRow(wide, n, padded, out, step);
    return;
  }
  CopyRow(view.Row<const Bf16>(b, t, h), n, padded, out, step);
}

// The way back: n fp32 values from results `step` floats apart, times
// `factor`.
inline void StoreTileRow(const float* tiles, int64_t step, __m512 factor,
                         const TensorView& view, int64_t b, int64_t t,
                         int64_t h, float* wide) {
  const int64_t n = view.shape[3];
  const auto load = [&](int64_t i) HWY_ATTR {
    return _mm512_mul_ps(factor, _mm512_load_ps(tiles + i / kSide * step));
  };
  if (view.stride[3] != 1) {
    for (int64_t i = 0; i < n; i += kSide) _mm512_store_ps(wide + i, load(i));
    StoreRows(wide, n, view, b, t, 1, h, false);
  } else if (view.dtype == Dtype::kBF16) {
    Bf16* row = view.Row<Bf16>(b, t, h);
    for (int64_t i = 0; i < n; i += kDepth) {
      _mm512_mask_storeu_epi16(row + i, FirstPairs(n - i),
                               RoundToBf16(load(i), load(i + kSide)));
    }
  } else {
    float* row = view.Row<float>(b, t, h);
    for (int64_t i = 0; i < n; i += kSide) {
      _mm512_mask_storeu_ps(row + i, FirstLanes(n - i), load(i));
    }
  }
}

// Where rows of bf16 values go: one after the other, or as left operands
// [row / 16][column / 32].
struct StagedRows {
  Bf16* data;
  int64_t padded;  // columns
  bool tiles;
  Bf16* Row(int64_t r) const {
    return tiles ? data + r / kSide * kSide * padded + r % kSide * kDepth
                 : data + r * padded;
  }
  int64_t step() const { return tiles ? kOperandTile : kDepth; }
};

// Rows of a query block; those up to the next tile are zero. `sign`
// multiplies, `rotation` turns.
inline void StageBlock(const LocalInputs& in, const QueryBlock& block,
                       const TensorView& view, float sign, Rotation rotation,
                       float* wide, const StagedRows& out) {
  const bool plain = rotation == Rotation::kNone && sign == 1;
  int64_t r = 0;
  for (int64_t t = block.begin; t < block.end; ++t) {
    const int64_t position = block.first_position + t - block.begin;
    for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++r) {
      if (plain) {
        StageRow(view, block.b, t, h, out.padded, wide, out.Row(r), out.step());
      } else {
        LoadRows(view, block.b, t, 1, h, sign, wide, view.shape[3]);
        RotateQuery(in, rotation, position, 1, wide);
        RoundRow(wide, view.shape[3], out.padded, out.Row(r), out.step());
      }
    }
  }
  for (; r < RoundUp(block.rows, kSide); ++r) {
    RoundRow(wide, 0, out.padded, out.Row(r), out.step());
  }
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

// The same of rows in a cache or behind it, zero outside `rows`.
inline void StageKeys(const KeySource& source, int64_t b, int64_t h,
                      int64_t first, const KeyRange& rows, int64_t padded,
                      float* wide, Bf16* out) {
  for (int64_t t = first; t < first + kDepth; ++t, out += padded) {
    if (t < rows.begin || t >= rows.end) {
      std::fill_n(out, padded, Bf16{});
    } else if (t >= source.begin) {
      StageRow(source.view, b, t - source.begin, h, padded, wide, out);
    } else {
      CopyRow(static_cast<const Bf16*>(source.CacheRow(b, h, t)),
              source.view.shape[3], padded, out);
    }
  }
}

// Calls body(head, group, thread) for all groups of 32 keys of all heads.
template <typename Body>
void ForEachKeyGroup(int threads, int64_t heads, int64_t groups,
                     const Body& body) {
  constexpr int64_t kAtOnce = 16;
  const int64_t pieces = (groups + kAtOnce - 1) / kAtOnce;
  ParallelFor(threads, heads * pieces, [&](int64_t task, int thread) HWY_ATTR {
    const int64_t begin = task % pieces * kAtOnce;
    const int64_t end = std::min(begin + kAtOnce, groups);
    for (int64_t g = begin; g < end; ++g) body(task / pieces, g, thread);
  });
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
