// Building blocks of the blockwise kernels, compiled once per instruction set:
// small fp32 matrix products on row-major blocks, conversion between strided
// views and contiguous fp32 blocks, and operations on rows.
//
// To be included like a Highway -inl header: after "kernels/cpu/targets.h" and
// inside a file that uses hwy/foreach_target.h (or for the static target).
// Everything lives in rattn::HWY_NAMESPACE. Leading dimensions and strides are
// in elements; blocks need no alignment and must not overlap.
#include <cstdint>

#include "kernels/tensor_view.h"

#if defined(RATTN_KERNELS_CPU_TILE_OPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_TILE_OPS_INL_H_
#undef RATTN_KERNELS_CPU_TILE_OPS_INL_H_
#else
#define RATTN_KERNELS_CPU_TILE_OPS_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using TileD = hn::ScalableTag<float>;
using TileV = hn::Vec<TileD>;

// Register block of the products: 6 rows by 4 vectors fill the 32 registers of
// AVX-512 and NEON (24 sums, 4 of B, 1 of A), 6 by 2 the 16 of AVX2.
inline constexpr int kTileRows = 6;
inline constexpr int kTileVecs =
    (HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON) ? 4 : 2;

// First `count` (1..lanes) elements, zeros after them; reads nothing else.
HWY_INLINE TileV LoadFirst(const float* p, size_t count) {
  const TileD d;
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return hn::Load(d, lanes);
#else
  return hn::MaskedLoad(hn::FirstN(d, count), d, p);
#endif
}

HWY_INLINE void StoreFirst(TileV v, float* p, size_t count) {
  const TileD d;
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  for (size_t i = 0; i < count; ++i) p[i] = lanes[i];
#else
  hn::BlendedStore(v, hn::FirstN(d, count), d, p);
#endif
}

// C[kRows, kVecs vectors] (+)= A B over k. A is [rows, k], or [k, rows] when
// kTransA. kTail: one vector of which `tail` lanes exist.
template <int kRows, int kVecs, bool kTransA, bool kTail>
HWY_NOINLINE void MicroTile(int64_t k, const float* a, int64_t lda,
                            const float* b, int64_t ldb, float* c, int64_t ldc,
                            bool accumulate, size_t tail) {
  const TileD d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  TileV sum[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const float* at = c + r * ldc + v * kLanes;
      sum[r][v] = !accumulate ? hn::Zero(d)
                  : kTail     ? LoadFirst(at, tail)
                              : hn::LoadU(d, at);
    }
  }
  const int64_t row_stride = kTransA ? 1 : lda;
  const int64_t step = kTransA ? lda : 1;
  for (int64_t p = 0; p < k; ++p, a += step, b += ldb) {
    TileV row[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      row[v] = kTail ? LoadFirst(b, tail) : hn::LoadU(d, b + v * kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const TileV x = hn::Set(d, a[r * row_stride]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) {
        sum[r][v] = hn::MulAdd(x, row[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      float* at = c + r * ldc + v * kLanes;
      if (kTail) {
        StoreFirst(sum[r][v], at, tail);
      } else {
        hn::StoreU(sum[r][v], d, at);
      }
    }
  }
}

// All m rows of a column strip of kVecs vectors.
template <int kRows, int kVecs, bool kTransA, bool kTail>
void RowStrip(int64_t m, int64_t k, const float* a, int64_t lda, const float* b,
              int64_t ldb, float* c, int64_t ldc, bool accumulate,
              size_t tail) {
  for (; m >= kRows; m -= kRows) {
    MicroTile<kRows, kVecs, kTransA, kTail>(k, a, lda, b, ldb, c, ldc,
                                            accumulate, tail);
    a += kTransA ? kRows : kRows * lda;
    c += kRows * ldc;
  }
  if constexpr (kRows > 1) {
    if (m > 0) {
      RowStrip<(kRows > 4 ? 4 : kRows / 2), kVecs, kTransA, kTail>(
          m, k, a, lda, b, ldb, c, ldc, accumulate, tail);
    }
  }
}

// All n columns, widest strips first.
template <int kVecs, bool kTransA>
void ColumnStrips(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                  const float* b, int64_t ldb, float* c, int64_t ldc,
                  bool accumulate) {
  constexpr int64_t kLanes = hn::MaxLanes(TileD());
  for (; n >= kVecs * kLanes; n -= kVecs * kLanes) {
    RowStrip<kTileRows, kVecs, kTransA, false>(m, k, a, lda, b, ldb, c, ldc,
                                               accumulate, 0);
    b += kVecs * kLanes;
    c += kVecs * kLanes;
  }
  if (n == 0) return;
  if constexpr (kVecs > 1) {
    ColumnStrips<kVecs - 1, kTransA>(m, n, k, a, lda, b, ldb, c, ldc,
                                     accumulate);
  } else {
    RowStrip<kTileRows, 1, kTransA, true>(m, k, a, lda, b, ldb, c, ldc,
                                          accumulate, n);
  }
}

// C[m, n] = A[m, k] B[k, n], added to C when `accumulate`. Also right for
// m, n or k of 0 (k = 0 without accumulate clears C).
inline void GemmNN(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc,
                   bool accumulate) {
  ColumnStrips<kTileVecs, false>(m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

// The same with A stored as [k, m].
inline void GemmTN(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc,
                   bool accumulate) {
  ColumnStrips<kTileVecs, true>(m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

// out[k, n] = transpose of in[n, k].
inline void Transpose(int64_t n, int64_t k, const float* in, int64_t ldi,
                      float* out, int64_t ldo) {
  int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  const auto pairs = [](auto v) {
    return hn::BitCast(hn::RepartitionToWide<hn::FixedTag<float, 4>>(), v);
  };
  for (; j + 4 <= n; j += 4) {
    const float* at = in + j * ldi;
    int64_t p = 0;
    for (; p + 4 <= k; p += 4) {
      const auto r0 = hn::LoadU(d, at + p);
      const auto r1 = hn::LoadU(d, at + p + ldi);
      const auto r2 = hn::LoadU(d, at + p + 2 * ldi);
      const auto r3 = hn::LoadU(d, at + p + 3 * ldi);
      const auto lo01 = pairs(hn::InterleaveLower(d, r0, r1));
      const auto lo23 = pairs(hn::InterleaveLower(d, r2, r3));
      const auto hi01 = pairs(hn::InterleaveUpper(d, r0, r1));
      const auto hi23 = pairs(hn::InterleaveUpper(d, r2, r3));
      float* to = out + p * ldo + j;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, lo01, lo23)), d, to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, lo01, lo23)), d,
                 to + ldo);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, hi01, hi23)), d,
                 to + 2 * ldo);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, hi01, hi23)), d,
                 to + 3 * ldo);
    }
    for (; p < k; ++p) {
      for (int i = 0; i < 4; ++i) out[p * ldo + j + i] = at[i * ldi + p];
    }
  }
#endif
  for (; j < n; ++j) {
    for (int64_t p = 0; p < k; ++p) out[p * ldo + j] = in[j * ldi + p];
  }
}

inline float Dot(const float* a, const float* b, int64_t n) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  TileV sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  }
  if (i < n) {
    sum = hn::MulAdd(LoadFirst(a + i, n - i), LoadFirst(b + i, n - i), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// C[m, n] (+)= A[m, k] B^T with B stored as [n, k]. B is transposed strip by
// strip into a buffer on the stack (32 KiB), which pays from a few rows on;
// fewer rows are dot products.
inline void GemmNT(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc,
                   bool accumulate) {
  constexpr int64_t kDotRows = 4;
  if (m <= kDotRows) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t i = 0; i < m; ++i) {
        float* at = c + i * ldc + j;
        const float x = Dot(a + i * lda, b + j * ldb, k);
        *at = accumulate ? *at + x : x;
      }
    }
    return;
  }
  constexpr int64_t kStrip = kTileVecs * hn::MaxLanes(TileD());
  constexpr int64_t kDepth = 8192 / kStrip;
  HWY_ALIGN float packed[kDepth * kStrip];
  for (int64_t j = 0; j < n; j += kStrip) {
    const int64_t columns = HWY_MIN(kStrip, n - j);
    // Runs once for k = 0 too, which has to clear C.
    int64_t p = 0;
    do {
      const int64_t depth = HWY_MIN(kDepth, k - p);
      Transpose(columns, depth, b + j * ldb + p, ldb, packed, kStrip);
      ColumnStrips<kTileVecs, false>(m, columns, depth, a + p, lda, packed,
                                     kStrip, c + j, ldc, accumulate || p > 0);
      p += depth;
    } while (p < k);
  }
}

// ---------------------------------------------------------------- row values

inline float RowMax(const float* x, int64_t n) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  if (n < lanes) {
    float best = -hwy::HighestValue<float>();
    for (int64_t i = 0; i < n; ++i) best = HWY_MAX(best, x[i]);
    return best;
  }
  TileV best = hn::LoadU(d, x + n - lanes);  // overlaps: maxima do not mind
  for (int64_t i = 0; i + lanes <= n; i += lanes) {
    best = hn::Max(best, hn::LoadU(d, x + i));
  }
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

// e^x for x <= 88, -inf included: relative error below 2.5e-7, 0 below -87.33,
// NaN for NaN. Half the instructions of hwy/contrib/math (which also covers
// denormals): the polynomial of Cephes' expf, x = n ln 2 + r.
HWY_INLINE TileV Exp(TileV x) {
  const TileD d;
  const hn::RebindToSigned<TileD> di;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const TileV magic = hn::Set(d, 12582912.f);
  const TileV shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const TileV n = hn::Sub(shifted, magic);
  TileV r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  TileV p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::MulAdd(hn::Mul(p, r), r, hn::Add(r, hn::Set(d, 1.f)));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const TileV power = hn::BitCast(d, hn::Add(exponent, hn::Set(di, 127 << 23)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.33f)), hn::Mul(p, power));
}

// y = factor * x, added to y when `accumulate`.
inline void ScaleRow(float factor, const float* x, int64_t n, float* y,
                     bool accumulate) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const TileV f = hn::Set(d, factor);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const TileV v = hn::LoadU(d, x + i);
    hn::StoreU(
        accumulate ? hn::MulAdd(f, v, hn::LoadU(d, y + i)) : hn::Mul(f, v), d,
        y + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    const TileV v = LoadFirst(x + i, rest);
    StoreFirst(
        accumulate ? hn::MulAdd(f, v, LoadFirst(y + i, rest)) : hn::Mul(f, v),
        y + i, rest);
  }
}

// ------------------------------------------------- strided views <-> fp32 rows

HWY_INLINE TileV LoadBf16(const Bf16* p) {
  const hn::Rebind<uint16_t, TileD> d16;
  const hn::RebindToUnsigned<TileD> d32;
  const auto bits =
      hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)));
  return hn::BitCast(TileD(), hn::ShiftLeft<16>(bits));
}

// Rounds to nearest even and keeps NaN, as ToBf16.
HWY_INLINE void StoreBf16(TileV v, Bf16* p) {
  const hn::Rebind<uint16_t, TileD> d16;
  const hn::RebindToUnsigned<TileD> d32;
  const hn::RebindToSigned<TileD> s32;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
  const auto rounded = hn::Add(bits, hn::Add(hn::Set(d32, 0x7fff), odd));
  const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000));
  const auto nan = hn::RebindMask(d32, hn::IsNaN(v));
  const auto high = hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded));
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(s32, high)), d16,
             reinterpret_cast<uint16_t*>(p));
}

// One row of n elements `stride` apart, widened and scaled.
template <typename T>
void LoadRow(const T* in, int64_t stride, int64_t n, float scale, float* out) {
  constexpr bool kBf16 = sizeof(T) == 2;
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t dense = stride == 1 ? n : 0;
  const TileV factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= dense; i += lanes) {
    if constexpr (kBf16) {
      hn::StoreU(hn::Mul(factor, LoadBf16(in + i)), d, out + i);
    } else {
      hn::StoreU(hn::Mul(factor, hn::LoadU(d, in + i)), d, out + i);
    }
  }
  for (; i < n; ++i) {
    if constexpr (kBf16) {
      out[i] = scale * ToFloat(in[i * stride]);
    } else {
      out[i] = scale * in[i * stride];
    }
  }
}

template <typename T>
void StoreRow(const float* in, int64_t n, T* out, int64_t stride,
              bool accumulate) {
  constexpr bool kBf16 = sizeof(T) == 2;
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t dense = stride == 1 ? n : 0;
  int64_t i = 0;
  for (; i + lanes <= dense; i += lanes) {
    TileV x = hn::LoadU(d, in + i);
    if constexpr (kBf16) {
      if (accumulate) x = hn::Add(x, LoadBf16(out + i));
      StoreBf16(x, out + i);
    } else {
      if (accumulate) x = hn::Add(x, hn::LoadU(d, out + i));
      hn::StoreU(x, d, out + i);
    }
  }
  for (; i < n; ++i) {
    T& to = out[i * stride];
    if constexpr (kBf16) {
      to = ToBf16(accumulate ? in[i] + ToFloat(to) : in[i]);
    } else {
      to = accumulate ? in[i] + to : in[i];
    }
  }
}

// Rows [first, first + count) of sequence b, head h of a [B, T, H, D] view
// (fp32 or bf16, any strides) times `scale` -> out[count, D] with leading
// dimension ld.
inline void LoadRows(const TensorView& view, int64_t b, int64_t first,
                     int64_t count, int64_t h, float scale, float* out,
                     int64_t ld) {
  const int64_t n = view.shape[3];
  for (int64_t i = 0; i < count; ++i) {
    if (view.dtype == Dtype::kBF16) {
      LoadRow(view.Row<const Bf16>(b, first + i, h), view.stride[3], n, scale,
              out + i * ld);
    } else {
      LoadRow(view.Row<const float>(b, first + i, h), view.stride[3], n, scale,
              out + i * ld);
    }
  }
}

// The way back: in[count, D] is rounded into the view, or added to it.
inline void StoreRows(const float* in, int64_t ld, const TensorView& view,
                      int64_t b, int64_t first, int64_t count, int64_t h,
                      bool accumulate) {
  const int64_t n = view.shape[3];
  for (int64_t i = 0; i < count; ++i) {
    if (view.dtype == Dtype::kBF16) {
      StoreRow(in + i * ld, n, view.Row<Bf16>(b, first + i, h), view.stride[3],
               accumulate);
    } else {
      StoreRow(in + i * ld, n, view.Row<float>(b, first + i, h), view.stride[3],
               accumulate);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
