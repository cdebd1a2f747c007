// Products of a few queries with rows of a cache as they lie in memory, fp32 or
// bf16, per instruction set (to be included like tile_ops-inl.h). A decode
// step costs the bytes that it reads, so nothing is copied or widened into
// scratch: a register of 2 L bf16 elements becomes two of L floats, its even
// and its odd elements, by a shift and a mask. Queries, scores and sums are
// kept in that order ("paired"): per 2 L elements L even, then L odd ones. Rows
// of floats are paired as they are.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_ops-inl.h"

#if defined(RATTN_KERNELS_CPU_DECODE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_DECODE_ROWS_INL_H_
#undef RATTN_KERNELS_CPU_DECODE_ROWS_INL_H_
#else
#define RATTN_KERNELS_CPU_DECODE_ROWS_INL_H_
#endif

#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Queries that share the loads of a row: 4 keys x 4 queries of sums fill half
// of the 32 registers of AVX-512 and NEON, x 2 half of the 16 of AVX2.
inline constexpr int kRowQueries = kTileVecs == 4 ? 4 : 2;
inline constexpr int64_t kPair = 2 * hn::MaxLanes(TileD());  // 2 L

HWY_INLINE void LoadPair(const Bf16* p, TileV& even, TileV& odd) {
  const TileD d;
  const hn::RebindToUnsigned<TileD> bits;
  const auto both = hn::LoadU(bits, reinterpret_cast<const uint32_t*>(p));
  even = hn::BitCast(d, hn::ShiftLeft<16>(both));
  odd = hn::BitCast(d, hn::And(both, hn::Set(bits, 0xffff0000u)));
}
HWY_INLINE void LoadPair(const float* p, TileV& even, TileV& odd) {
  const TileD d;
  even = hn::LoadU(d, p);
  odd = hn::LoadU(d, p + hn::Lanes(d));
}

// The same of `count` < kPair elements, zeros after them.
template <typename T>
HWY_INLINE void LoadPairFirst(const T* p, int64_t count, TileV& even,
                              TileV& odd) {
  HWY_ALIGN T row[kPair] = {};
  std::memcpy(row, p, static_cast<size_t>(count) * sizeof(T));
  LoadPair(row, even, odd);
}

// Place of element i of a row of T in paired order.
template <typename T>
constexpr int64_t PairedPlace(int64_t i) {
  if (sizeof(T) == sizeof(float)) return i;
  const int64_t at = i % kPair;
  return i - at + at % 2 * (kPair / 2) + at / 2;
}

// paired[i] = row[i] in paired order, zeros up to a whole pair; and back.
template <typename T>
void PairRow(const float* row, int64_t n, float* paired) {
  const TileD d;
  int64_t i = 0;
  for (; sizeof(T) == 2 && i + kPair <= n; i += kPair) {
    TileV even, odd;
    hn::LoadInterleaved2(d, row + i, even, odd);
    hn::StoreU(even, d, paired + i);
    hn::StoreU(odd, d, paired + i + kPair / 2);
  }
  std::fill(paired + i, paired + (n + kPair - 1) / kPair * kPair, 0.0f);
  for (; i < n; ++i) paired[PairedPlace<T>(i)] = row[i];
}
template <typename T>
void UnpairRow(const float* paired, int64_t n, float* row) {
  const TileD d;
  int64_t i = 0;
  for (; sizeof(T) == 2 && i + kPair <= n; i += kPair) {
    hn::StoreInterleaved2(hn::LoadU(d, paired + i),
                          hn::LoadU(d, paired + i + kPair / 2), d, row + i);
  }
  for (; i < n; ++i) row[i] = paired[PairedPlace<T>(i)];
}

// Rows that will be read soon, asked for in step with the rows at work.
struct Ahead {
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t stride = 0;  // bytes from row to row
  int64_t bytes = 0;   // of a row, from its begin

  HWY_INLINE void Fetch(int64_t begin, int64_t end) const {
    constexpr int64_t kLine = 64;
    const auto* at = static_cast<const std::byte*>(data) + begin * stride;
    for (int64_t r = begin; r < std::min(end, rows); ++r, at += stride) {
      for (int64_t i = 0; i < bytes; i += kLine) hwy::Prefetch(at + i);
    }
  }
  // The bytes [begin, end) of its rows.
  Ahead Columns(int64_t begin, int64_t end) const {
    return {static_cast<const std::byte*>(data) + begin, rows, stride,
            std::min(end, bytes) - begin};
  }
};

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void StoreFourSums(const TileV* sums, float* to) {
  for (int i = 0; i < 4; ++i) to[i] = hn::GetLane(sums[i]);
}
#else
template <class D>
HWY_INLINE auto SumOfBlocks(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(d) <= 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return SumOfBlocks(half,
                       hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// to[i] = sum of the lanes of sums[i], i < 4.
HWY_INLINE void StoreFourSums(const TileV* sums, float* to) {
  const TileD d;
  const hn::RepartitionToWide<TileD> wide;
  const auto halves = [&](TileV a, TileV b) HWY_ATTR {
    return hn::BitCast(wide, hn::Add(hn::InterleaveLower(d, a, b),
                                     hn::InterleaveUpper(d, a, b)));
  };
  const auto ab = halves(sums[0], sums[1]);
  const auto cd = halves(sums[2], sums[3]);
  const TileV blocks =
      hn::Add(hn::BitCast(d, hn::InterleaveLower(wide, ab, cd)),
              hn::BitCast(d, hn::InterleaveUpper(wide, ab, cd)));
  hn::StoreU(SumOfBlocks(d, blocks), hn::FixedTag<float, 4>(), to);
}
#endif

// Keys of a step of ScoreRows.
inline constexpr int64_t kRowStep = 4;

// One pair of columns at `i` of kRowStep rows: sums[q * kRowStep + r] +=
// <queries[q], row[r]>.
template <int kQueries, bool kTail, typename T>
HWY_INLINE void ScorePair(const T* const* row, int64_t i, int64_t tail,
                          const float* queries, int64_t width, TileV* sums) {
  const TileD d;
  TileV even[kQueries], odd[kQueries];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
    even[q] = hn::LoadU(d, queries + q * width + i);
    odd[q] = hn::LoadU(d, queries + q * width + i + kPair / 2);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRowStep; ++r) {
    TileV a, b;
    if constexpr (kTail) {
      LoadPairFirst(row[r] + i, tail, a, b);
    } else {
      LoadPair(row[r] + i, a, b);
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      TileV& sum = sums[q * kRowStep + r];
      sum = hn::MulAdd(b, odd[q], hn::MulAdd(a, even[q], sum));
    }
  }
}

// scores[q * ld + j] = <queries[q], rows[j]> for kQueries paired queries
// `width` apart and `count` rows of n elements that follow each other; writes
// up to a multiple of kRowStep scores.
template <int kQueries, typename T>
void ScoreRows(const T* rows, int64_t count, int64_t n, const float* queries,
               int64_t width, float* scores, int64_t ld, const Ahead& ahead) {
  for (int64_t j = 0; j < count; j += kRowStep) {
    const T* row[kRowStep];
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRowStep; ++r) {
      row[r] = rows + std::min(j + r, count - 1) * n;
    }
    TileV sums[kQueries * kRowStep];
#pragma GCC unroll 16
    for (int i = 0; i < kQueries * kRowStep; ++i) sums[i] = hn::Zero(TileD());
    int64_t i = 0;
    for (; i + kPair <= n; i += kPair) {
      ScorePair<kQueries, false>(row, i, 0, queries, width, sums);
    }
    if (i < n) {
      ScorePair<kQueries, true>(row, i, n - i, queries, width, sums);
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      StoreFourSums(sums + q * kRowStep, scores + q * ld + j);
    }
    ahead.Fetch(j, j + kRowStep);
  }
}

// kPairs pairs of columns of AddRows; kTail: one pair of which `tail` elements
// exist.
template <int kQueries, int kPairs, bool kTail, typename T>
void AddRowStrip(const T* rows, int64_t count, int64_t stride,
                 const float* weights, int64_t ld, const float* rescale,
                 float* sums, int64_t width, int64_t tail, const Ahead& ahead) {
  const TileD d;
  constexpr int64_t kHalf = kPair / 2;
  TileV sum[kQueries][2 * kPairs];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
    const TileV by = hn::Set(d, rescale[q]);
#pragma GCC unroll 8
    for (int c = 0; c < 2 * kPairs; ++c) {
      sum[q][c] = hn::Mul(by, hn::LoadU(d, sums + q * width + c * kHalf));
    }
  }
  for (int64_t j = 0; j < count; ++j, rows += stride) {
    TileV x[2 * kPairs];
#pragma GCC unroll 4
    for (int c = 0; c < kPairs; ++c) {
      if constexpr (kTail) {
        LoadPairFirst(rows, tail, x[2 * c], x[2 * c + 1]);
      } else {
        LoadPair(rows + c * kPair, x[2 * c], x[2 * c + 1]);
      }
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      const TileV weight = hn::Set(d, weights[q * ld + j]);
#pragma GCC unroll 8
      for (int c = 0; c < 2 * kPairs; ++c) {
        sum[q][c] = hn::MulAdd(weight, x[c], sum[q][c]);
      }
    }
    ahead.Fetch(j, j + 1);
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int c = 0; c < 2 * kPairs; ++c) {
      hn::StoreU(sum[q][c], d, sums + q * width + c * kHalf);
    }
  }
}

// sums[q] = rescale[q] * sums[q] + sum_j weights[q * ld + j] rows[j], for
// kQueries paired sums `width` apart and `count` rows of n elements, `stride`
// apart.
template <int kQueries, typename T>
void AddRows(const T* rows, int64_t count, int64_t n, int64_t stride,
             const float* weights, int64_t ld, const float* rescale,
             float* sums, int64_t width, const Ahead& ahead) {
  const auto strip = [&](auto pairs, int64_t i) HWY_ATTR {
    constexpr int64_t kBytes = pairs * kPair * sizeof(T);
    const int64_t from = i * int64_t{sizeof(T)};
    AddRowStrip<kQueries, pairs, false>(rows + i, count, stride, weights, ld,
                                        rescale, sums + i, width, 0,
                                        ahead.Columns(from, from + kBytes));
  };
  int64_t i = 0;
  for (; i + 2 * kPair <= n; i += 2 * kPair) {
    strip(std::integral_constant<int, 2>(), i);
  }
  for (; i + kPair <= n; i += kPair) {
    strip(std::integral_constant<int, 1>(), i);
  }
  if (i < n) {
    AddRowStrip<kQueries, 1, true>(
        rows + i, count, stride, weights, ld, rescale, sums + i, width, n - i,
        ahead.Columns(i * int64_t{sizeof(T)}, ahead.bytes));
  }
}

// Calls run(number, first) with compile-time numbers of queries that add up to
// `queries`, the widest first.
template <typename Run>
HWY_INLINE void ForQueryBlocks(int64_t queries, const Run& run) {
  int64_t q = 0;
  for (; q + kRowQueries <= queries; q += kRowQueries) {
    run(std::integral_constant<int, kRowQueries>(), q);
  }
  for (; kRowQueries > 2 && q + 2 <= queries; q += 2) {
    run(std::integral_constant<int, 2>(), q);
  }
  if (q < queries) run(std::integral_constant<int, 1>(), q);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
