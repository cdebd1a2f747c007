// The products of decode_rows-inl.h by AVX-512 dot products of bf16 pairs, for
// files that are compiled once per instruction set: everything here exists for
// AVX-512 (HWY_AVX3) only, and runs only where RunningTileUnit() is
// kAvx512Bf16. Twice the products of an instruction and no widening, so that
// arithmetic hides behind the bytes. (AMX machines run these dot products at
// half the rate: nothing is gained there.)
//
// Queries and weights are rounded to bf16, once; products and sums are fp32.
// Scores take a row as it lies. Sums of values take two rows at a time, zipped
// within 128-bit lanes, and are kept in that order ("zipped"): per 32 elements
// the lower 4 of every 8, then the upper 4.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/tile_sizes.h"

#if defined(RATTN_KERNELS_CPU_DECODE_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_DECODE_PAIRS_INL_H_
#undef RATTN_KERNELS_CPU_DECODE_PAIRS_INL_H_
#else
#define RATTN_KERNELS_CPU_DECODE_PAIRS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/bf16_tiles-inl.h"
#include "kernels/cpu/decode_rows-inl.h"

#if HWY_TARGET == HWY_AVX3
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// All 32 elements, or with kTail the first ones that `mask` names and zeros.
template <bool kTail>
HWY_INLINE __m512i LoadBf16(const Bf16* p, __mmask32 mask) {
  return kTail ? _mm512_maskz_loadu_epi16(mask, p) : _mm512_loadu_si512(p);
}
inline __mmask32 FirstBf16(int64_t count) {
  return static_cast<__mmask32>((uint64_t{1} << count) - 1);
}

// to[i] = bf16(from[i]), i < n, zeros up to a multiple of 32.
inline void RoundRow(const float* from, int64_t n, Bf16* to) {
  for (int64_t i = 0; i < n; i += kDepth) {
    const auto half = [&](int64_t first) HWY_ATTR {
      const int64_t count = std::clamp<int64_t>(n - first, 0, 16);
      return _mm512_maskz_loadu_ps(static_cast<__mmask16>(FirstBf16(count)),
                                   from + first);
    };
    _mm512_storeu_si512(to + i, RoundToBf16(half(i), half(i + 16)));
  }
}

// row[i] = element i of a zipped row, i < n.
inline void UnzipRow(const float* zipped, int64_t n, float* row) {
  for (int64_t i = 0; i < n; i += 4) {
    const int64_t in = i % kDepth;
    const float* at = zipped + (i - in) + in / 4 % 2 * 16 + in / 8 * 4;
    std::copy_n(at, std::min<int64_t>(n - i, 4), row + i);
  }
}

// 32 columns of kRowStep rows, as ScorePair.
template <int kQueries, bool kTail>
HWY_INLINE void ScoreColumns(const Bf16* const* row, int64_t i, __mmask32 mask,
                             const Bf16* queries, int64_t width, __m512* sums) {
  __m512i query[kQueries];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
    query[q] = _mm512_loadu_si512(queries + q * width + i);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRowStep; ++r) {
    const __m512i x = LoadBf16<kTail>(row[r] + i, mask);
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      __m512& sum = sums[q * kRowStep + r];
      sum = PairProducts(sum, query[q], x);
    }
  }
}

// As ScoreRows of decode_rows-inl.h, for queries of RoundRow.
template <int kQueries>
void ScorePairRows(const Bf16* rows, int64_t count, int64_t n,
                   const Bf16* queries, int64_t width, float* scores,
                   int64_t ld, const Ahead& ahead) {
  for (int64_t j = 0; j < count; j += kRowStep) {
    const Bf16* row[kRowStep];
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRowStep; ++r) {
      row[r] = rows + std::min(j + r, count - 1) * n;
    }
    __m512 sums[kQueries * kRowStep];
#pragma GCC unroll 16
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + kDepth <= n; i += kDepth) {
      ScoreColumns<kQueries, false>(row, i, 0, queries, width, sums);
    }
    if (i < n) {
      ScoreColumns<kQueries, true>(row, i, FirstBf16(n - i), queries, width,
                                   sums);
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      TileV four[kRowStep];
#pragma GCC unroll 4
      for (int r = 0; r < kRowStep; ++r) {
        four[r] = TileV{sums[q * kRowStep + r]};
      }
      StoreFourSums(four, scores + q * ld + j);
    }
    ahead.Fetch(j, j + kRowStep);
  }
}

// kBlocks blocks of 32 columns of AddPairRows; kTail: one block of which the
// elements of `mask` exist.
template <int kQueries, int kBlocks, bool kTail>
void AddPairStrip(const Bf16* rows, int64_t count, int64_t stride,
                  const Bf16* weights, const float* rescale, float* sums,
                  int64_t width, __mmask32 mask, const Ahead& ahead) {
  __m512 sum[kQueries][2 * kBlocks];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
    const __m512 by = _mm512_set1_ps(rescale[q]);
#pragma GCC unroll 8
    for (int c = 0; c < 2 * kBlocks; ++c) {
      sum[q][c] = by * _mm512_loadu_ps(sums + q * width + c * kSide);
    }
  }
  const auto step = [&](int64_t j, auto both) HWY_ATTR {
    __m512i x[2 * kBlocks];
#pragma GCC unroll 4
    for (int c = 0; c < kBlocks; ++c) {
      const Bf16* at = rows + j * stride + c * kDepth;
      const __m512i first = LoadBf16<kTail>(at, mask);
      __m512i second = _mm512_setzero_si512();
      if constexpr (both) second = LoadBf16<kTail>(at + stride, mask);
      x[2 * c] = _mm512_unpacklo_epi16(first, second);
      x[2 * c + 1] = _mm512_unpackhi_epi16(first, second);
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      int pair;
      std::memcpy(&pair, weights + q * kKeyTile + j, sizeof(pair));
      const __m512i weight = _mm512_set1_epi32(pair);
#pragma GCC unroll 8
      for (int c = 0; c < 2 * kBlocks; ++c) {
        sum[q][c] = PairProducts(sum[q][c], weight, x[c]);
      }
    }
    ahead.Fetch(j, j + 2);
  };
  int64_t j = 0;
  for (; j + 2 <= count; j += 2) step(j, std::true_type());
  if (j < count) step(j, std::false_type());
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int c = 0; c < 2 * kBlocks; ++c) {
      _mm512_storeu_ps(sums + q * width + c * kSide, sum[q][c]);
    }
  }
}

// As AddRows of decode_rows-inl.h, for zipped sums and up to kKeyTile rows.
template <int kQueries>
void AddPairRows(const Bf16* rows, int64_t count, int64_t n, int64_t stride,
                 const float* weights, int64_t ld, const float* rescale,
                 float* sums, int64_t width, const Ahead& ahead) {
  HWY_ALIGN Bf16 rounded[kQueries * kKeyTile];
  for (int q = 0; q < kQueries; ++q) {
    RoundRow(weights + q * ld, count, rounded + q * kKeyTile);
  }
  const auto strip = [&](auto blocks, auto tail, int64_t i) HWY_ATTR {
    const int64_t end = std::min<int64_t>(n, i + blocks * kDepth);
    AddPairStrip<kQueries, blocks, tail>(
        rows + i, count, stride, rounded, rescale, sums + i, width,
        tail ? FirstBf16(end - i) : 0,
        ahead.Columns(i * int64_t{sizeof(Bf16)}, end * int64_t{sizeof(Bf16)}));
  };
  int64_t i = 0;
  for (; i + 2 * kDepth <= n; i += 2 * kDepth) {
    strip(std::integral_constant<int, 2>(), std::false_type(), i);
  }
  for (; i + kDepth <= n; i += kDepth) {
    strip(std::integral_constant<int, 1>(), std::false_type(), i);
  }
  if (i < n) strip(std::integral_constant<int, 1>(), std::true_type(), i);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
