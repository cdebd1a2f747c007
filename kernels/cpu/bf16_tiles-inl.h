// Products of bf16 tiles, for files that are compiled once per instruction set:
// everything here exists for AVX-512 (HWY_AVX3) only, and runs only under a
// TileScope on a machine where TilesOn(): on AMX, or on AVX-512 dot products of
// bf16 pairs, which read the same layout.
//
// A tile is 1 KiB in one piece. Left operand: 16 rows x 32 values of the inner
// dimension ("depth"). Right operand: 16 rows, row p holding depth 2p and
// 2p + 1 of 16 columns side by side (Intel: VNNI). Result: 16 x 16 fp32.
#include <cstdint>
#include <cstring>

#include "kernels/bf16.h"
#include "kernels/cpu/isa.h"

#if defined(RATTN_KERNELS_CPU_BF16_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_TILES_INL_H_
#undef RATTN_KERNELS_CPU_BF16_TILES_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_TILES_INL_H_
#endif

#include "hwy/highway.h"

#if HWY_TARGET == HWY_AVX3
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

inline constexpr int64_t kSide = 16;   // rows of a tile, columns of a result
inline constexpr int64_t kDepth = 32;  // of the inner dimension
inline constexpr int64_t kOperandTile = kSide * kDepth;  // bf16 values
inline constexpr int64_t kResultTile = kSide * kSide;    // fp32 values
inline constexpr int64_t kHeight = 8;  // rows of C that registers hold at once

// Up to so many rows of C the time of a product is that of reading B: its tiles
// are fetched so many values ahead. One row, 57 MB of B: 63 % of the read
// bandwidth without, 81 % 1024 ahead, 94 % at 2048, 85 % at 4096 and 8192.
inline constexpr int kFewRows = 4;
inline constexpr int64_t kAhead = 2048;

// The instructions themselves: intrinsics would need a target beyond
// Highway's, and GCC's are this text as well.
HWY_INLINE __m512 PairProducts(__m512 sum, __m512i left, __m512i right) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
  return sum;
}
template <int kTile>
HWY_INLINE void TileZero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
HWY_INLINE void TileLoad(const void* rows, int64_t stride_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(rows), "r"(stride_bytes),
               "i"(kTile)
               : "memory");
}
template <int kTile>
HWY_INLINE void TileStore(void* rows, int64_t stride_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(rows), "r"(stride_bytes),
               "i"(kTile)
               : "memory");
}
template <int kSum, int kLeft, int kRight>
HWY_INLINE void TileProduct() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kLeft),
               "i"(kRight));
}

// Operand tile (i, k), i counting rows or columns, k the depth, begins at
// tiles + i * across + k * along.
struct TileOperand {
  const Bf16* tiles;
  int64_t across;
  int64_t along;
  const Bf16* At(int64_t i, int64_t k) const {
    return tiles + i * across + k * along;
  }
};

// Result tile (i, j) begins at data + i * down + j * right, its rows `ld`
// floats apart.
struct TileResult {
  float* data;
  int64_t down;
  int64_t right;
  int64_t ld;
  float* At(int64_t i, int64_t j) const { return data + i * down + j * right; }
};

// Work between the steps of a product.
struct Nothing {
  void operator()() const {}
};

// kRows x kColumns result tiles (1 or 2 each) on AMX, sums in registers 0 to 3.
template <bool kAdd, int kRows, int kColumns, typename Between>
HWY_INLINE void AmxResultTiles(int64_t i, int64_t j, int64_t depth,
                               const TileOperand& a, const TileOperand& b,
                               const TileResult& c, Between& between) {
  constexpr bool kDown = kRows == 2, kRight = kColumns == 2;
  const int64_t ld = c.ld * static_cast<int64_t>(sizeof(float));
  if constexpr (kAdd) {
    TileLoad<0>(c.At(i, j), ld);
    if constexpr (kRight) TileLoad<1>(c.At(i, j + 1), ld);
    if constexpr (kDown) TileLoad<2>(c.At(i + 1, j), ld);
    if constexpr (kDown && kRight) TileLoad<3>(c.At(i + 1, j + 1), ld);
  } else {
    TileZero<0>();
    if constexpr (kRight) TileZero<1>();
    if constexpr (kDown) TileZero<2>();
    if constexpr (kDown && kRight) TileZero<3>();
  }
  for (int64_t k = 0; k < depth; ++k) {
    TileLoad<4>(a.At(i, k), 64);
    TileLoad<6>(b.At(j, k), 64);
    TileProduct<0, 4, 6>();
    if constexpr (kRight) {
      TileLoad<7>(b.At(j + 1, k), 64);
      TileProduct<1, 4, 7>();
    }
    if constexpr (kDown) {
      TileLoad<5>(a.At(i + 1, k), 64);
      TileProduct<2, 5, 6>();
      if constexpr (kRight) TileProduct<3, 5, 7>();
    }
    between();
  }
  TileStore<0>(c.At(i, j), ld);
  if constexpr (kRight) TileStore<1>(c.At(i, j + 1), ld);
  if constexpr (kDown) TileStore<2>(c.At(i + 1, j), ld);
  if constexpr (kDown && kRight) TileStore<3>(c.At(i + 1, j + 1), ld);
}

// kRows rows of a left tile times kColumns right tiles, sums in kRows *
// kColumns registers: at 8 x 2 ten loads feed sixteen dot products, and both
// stay below two per cycle, what processors have.
template <bool kAdd, int kColumns, int kRows = kHeight>
HWY_INLINE void VectorRows(const Bf16* a, int64_t a_along, const Bf16* const* b,
                           int64_t b_along, int64_t depth, float* const* c,
                           int64_t ld) {
  __m512 sum[kRows][kColumns];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kColumns; ++j) {
      sum[r][j] = kAdd ? _mm512_load_ps(c[j] + r * ld) : _mm512_setzero_ps();
    }
  }
  for (int64_t k = 0; k < depth; ++k, a += a_along) {
#pragma GCC unroll 2
    for (int64_t p = 0; p < kSide; ++p) {
      __m512i right[kColumns];
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) {
        const Bf16* at = b[j] + k * b_along + p * kDepth;
        right[j] = _mm512_load_si512(at);
        if constexpr (kRows <= kFewRows) {
          _mm_prefetch(at + kAhead, _MM_HINT_T0);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        int pair;
        std::memcpy(&pair, a + r * kDepth + 2 * p, sizeof(pair));
        const __m512i left = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
        for (int j = 0; j < kColumns; ++j) {
          sum[r][j] = PairProducts(sum[r][j], left, right[j]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kColumns; ++j) {
      _mm512_store_ps(c[j] + r * ld, sum[r][j]);
    }
  }
}

// The same as AmxResultTiles. Not inlined: every register is taken.
template <bool kAdd, int kRows, int kColumns>
HWY_NOINLINE void VectorResultTiles(int64_t i, int64_t j, int64_t depth,
                                    const TileOperand& a, const TileOperand& b,
                                    const TileResult& c) {
  const Bf16* right[] = {b.At(j, 0), b.At(j + 1, 0)};
  for (int64_t row = 0; row < kRows * kSide; row += kHeight) {
    const int64_t in_tile = row % kSide;
    float* const at = c.At(i + row / kSide, j) + in_tile * c.ld;
    float* const out[] = {at, at + c.right};
    VectorRows<kAdd, kColumns>(a.At(i + row / kSide, 0) + in_tile * kDepth,
                               a.along, right, b.along, depth, out, c.ld);
  }
}

template <bool kAdd, int kRows, int kColumns, typename Between>
HWY_INLINE void ResultTiles(int64_t i, int64_t j, int64_t depth,
                            const TileOperand& a, const TileOperand& b,
                            const TileResult& c, Between& between) {
  if (RunningTileUnit() == TileUnit::kAmx) {
    AmxResultTiles<kAdd, kRows, kColumns>(i, j, depth, a, b, c, between);
    return;
  }
  VectorResultTiles<kAdd, kRows, kColumns>(i, j, depth, a, b, c);
  for (int64_t k = 0; k < depth; ++k) between();
}

// C = A B or, with kAdd, C += A B, in whole tiles. Right operands are walked
// once and should be the ones that lie farther away. `between` is called after
// each of TileSteps() steps, on AMX while the tiles still multiply: it must not
// read C.
template <bool kAdd, typename Between = Nothing>
HWY_INLINE void TileGemm(int64_t rows, int64_t columns, int64_t depth,
                         const TileOperand& a, const TileOperand& b,
                         const TileResult& c, Between between = {}) {
  int64_t j = 0;
  for (; j + 2 <= columns; j += 2) {
    int64_t i = 0;
    for (; i + 2 <= rows; i += 2) {
      ResultTiles<kAdd, 2, 2>(i, j, depth, a, b, c, between);
    }
    if (i < rows) ResultTiles<kAdd, 1, 2>(i, j, depth, a, b, c, between);
  }
  if (j == columns) return;
  int64_t i = 0;
  for (; i + 2 <= rows; i += 2) {
    ResultTiles<kAdd, 2, 1>(i, j, depth, a, b, c, between);
  }
  if (i < rows) ResultTiles<kAdd, 1, 1>(i, j, depth, a, b, c, between);
}
inline int64_t TileSteps(int64_t rows, int64_t columns, int64_t depth) {
  return (rows + 1) / 2 * ((columns + 1) / 2) * depth;
}

// The same, adding or not as is only known at run time.
template <typename Between = Nothing>
HWY_INLINE void TileGemm(bool add, int64_t rows, int64_t columns, int64_t depth,
                         const TileOperand& a, const TileOperand& b,
                         const TileResult& c, Between between = {}) {
  if (add) {
    TileGemm<true>(rows, columns, depth, a, b, c, between);
  } else {
    TileGemm<false>(rows, columns, depth, a, b, c, between);
  }
}

// ------------------------------------------------------------------- packing

// 32 values rounded to nearest even, `low` first.
HWY_INLINE __m512i RoundToBf16(__m512 low, __m512 high) {
  __m512i out;
  asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(out) : "v"(high), "v"(low));
  return out;
}
HWY_INLINE __m256i RoundToBf16(__m512 x) {
  __m256i out;
  asm("vcvtneps2bf16 %1, %0" : "=v"(out) : "v"(x));
  return out;
}

// (first[0], second[0], first[1], second[1], ...): a row of a right operand
// from two rows of the depth.
HWY_INLINE __m512i ZipBf16(__m256i first, __m256i second) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

// 16 x 16 matrix of 32-bit values, one row a register.
HWY_INLINE void Transpose16(__m512i r[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // r[4 q + c]: column 4 l + c of rows 4 q .. 4 q + 3 in 128-bit lane l.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    t[c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    t[8 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    r[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
    r[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
    r[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
    r[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
  }
}

// The four ways from 16 (or 32) rows of 32 (or 16) contiguous bf16 values to
// one tile; `ld` values from row to row. X is [rows, columns].
//
// X as left operand, rows x depth: 16 rows.
HWY_INLINE void PackLeft(const Bf16* x, int64_t ld, Bf16* tile) {
#pragma GCC unroll 4
  for (int64_t i = 0; i < kSide; ++i) {
    _mm512_store_si512(tile + i * kDepth, _mm512_loadu_si512(x + i * ld));
  }
}
// X^T as right operand, depth x columns: 16 rows of X are the columns.
HWY_INLINE void PackRightTransposed(const Bf16* x, int64_t ld, Bf16* tile) {
  __m512i r[16];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kSide; ++i) r[i] = _mm512_loadu_si512(x + i * ld);
  Transpose16(r);
#pragma GCC unroll 16
  for (int64_t i = 0; i < kSide; ++i) {
    _mm512_store_si512(tile + i * kDepth, r[i]);
  }
}
HWY_INLINE __m512i ZipRows(const Bf16* x, int64_t ld, int64_t pair) {
  const auto load = [&](int64_t row) HWY_ATTR {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + row * ld));
  };
  return ZipBf16(load(2 * pair), load(2 * pair + 1));
}
// X as right operand: 32 rows of X are the depth.
HWY_INLINE void PackRight(const Bf16* x, int64_t ld, Bf16* tile) {
#pragma GCC unroll 4
  for (int64_t p = 0; p < kSide; ++p) {
    _mm512_store_si512(tile + p * kDepth, ZipRows(x, ld, p));
  }
}
// X^T as left operand: 32 rows of X are the depth, 16 columns the rows.
HWY_INLINE void PackLeftTransposed(const Bf16* x, int64_t ld, Bf16* tile) {
  __m512i r[16];
#pragma GCC unroll 16
  for (int64_t p = 0; p < kSide; ++p) r[p] = ZipRows(x, ld, p);
  Transpose16(r);
#pragma GCC unroll 16
  for (int64_t i = 0; i < kSide; ++i) {
    _mm512_store_si512(tile + i * kDepth, r[i]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
