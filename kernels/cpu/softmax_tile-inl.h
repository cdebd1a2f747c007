// Pieces that the passes of the softmax branch share, compiled once per
// instruction set. Scores are transposed, S^T[key, row] = K Q^T: a vector
// holds one key for many rows, so maxima, sums and masks need no horizontal
// operations and K needs no packing.
#include <array>
#include <cmath>
#include <limits>

#include "kernels/cpu/softmax_plan.h"

#if defined(RATTN_KERNELS_CPU_SOFTMAX_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_SOFTMAX_TILE_INL_H_
#undef RATTN_KERNELS_CPU_SOFTMAX_TILE_INL_H_
#else
#define RATTN_KERNELS_CPU_SOFTMAX_TILE_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/tile_ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2 = 0.693147180559945309f;
inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// 2^x, relative error below 2e-7 for x in [-126, 127], below that at most
// 2^-126, NaN for NaN. The polynomial is the Chebyshev interpolant of 2^f on
// [-1/2, 1/2] (2.6e-9).
HWY_INLINE TileV Exp2(TileV x) {
  const TileD d;
  const hn::RebindToSigned<TileD> d32;
  const TileV least = hn::Set(d, -127.0f);
#if HWY_TARGET == HWY_NEON || HWY_TARGET == HWY_SCALAR
  // Their Max prefers numbers to NaN.
  x = hn::IfThenElse(hn::Lt(x, least), least, x);
#else
  // In this order a NaN passes.
  x = hn::Max(least, x);
#endif
  const TileV n = hn::Round(x);
  const TileV f = hn::Sub(x, n);
  TileV p = hn::Set(d, 1.5469731913e-4f);
  p = hn::MulAdd(p, f, hn::Set(d, 1.3400432166e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 9.6180256032e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.5503272142e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022651214e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.9314720671e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  const auto exponent = hn::Add(hn::ConvertTo(d32, n), hn::Set(d32, 127));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

// tanh(x), relative error below 6e-7; NaN for NaN.
HWY_INLINE TileV Tanh(TileV x) {
  const TileD d;
  const TileV one = hn::Set(d, 1.0f);
  // Near 0 the quotient below would cancel.
  constexpr float kNear = 0.25f;
  const TileV square = hn::Mul(x, x);
  TileV p = hn::Set(d, 62.0f / 2835);
  p = hn::MulAdd(p, square, hn::Set(d, -17.0f / 315));
  p = hn::MulAdd(p, square, hn::Set(d, 2.0f / 15));
  p = hn::MulAdd(p, square, hn::Set(d, -1.0f / 3));
  p = hn::MulAdd(hn::Mul(p, square), x, x);
  // 1 - 2 / (1 + e^2x), of which 40 makes 1 in fp32.
  const TileV size = hn::Abs(x);
  const TileV power =
      Exp2(hn::Mul(hn::Set(d, 2 * kLog2E), hn::Min(hn::Set(d, 40.0f), size)));
  const TileV far =
      hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(one, power)));
  const auto is_far = hn::Gt(size, hn::Set(d, kNear));
  return hn::IfThenElse(is_far, hn::CopySign(far, x), p);
}

// n scores, in whole vectors, become cap tanh(score / cap).
inline void CapScores(float cap, int64_t n, float* scores) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const TileV inverse = hn::Set(d, 1 / cap);
  for (int64_t i = 0; i < n; i += lanes) {
    const TileV share = Tanh(hn::Mul(inverse, hn::LoadU(d, scores + i)));
    hn::StoreU(hn::Mul(hn::Set(d, cap), share), d, scores + i);
  }
}

// Turns the pairs of one row of 2 * half elements; `sign` -1 turns back.
inline void RotateRow(const float* cos, const float* sin, int64_t half,
                      RopeLayout layout, float sign, float* x) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const TileV factor = hn::Set(d, sign);
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const TileV c = hn::LoadU(d, cos + i);
    const TileV s = hn::Mul(factor, hn::LoadU(d, sin + i));
    TileV a, b;
    if (layout == RopeLayout::kInterleaved) {
      hn::LoadInterleaved2(d, x + 2 * i, a, b);
    } else {
      a = hn::LoadU(d, x + i);
      b = hn::LoadU(d, x + half + i);
    }
    const TileV turned_a = hn::NegMulAdd(b, s, hn::Mul(a, c));
    const TileV turned_b = hn::MulAdd(a, s, hn::Mul(b, c));
    if (layout == RopeLayout::kInterleaved) {
      hn::StoreInterleaved2(turned_a, turned_b, d, x + 2 * i);
    } else {
      hn::StoreU(turned_a, d, x + i);
      hn::StoreU(turned_b, d, x + half + i);
    }
  }
  const bool interleaved = layout == RopeLayout::kInterleaved;
  for (; i < half; ++i) {
    float& first = x[interleaved ? 2 * i : i];
    float& second = x[interleaved ? 2 * i + 1 : half + i];
    const float a = first;
    const float b = second;
    const float s = sign * sin[i];
    first = a * cos[i] - b * s;
    second = a * s + b * cos[i];
  }
}

inline void RotateRow(const RopeTable& table, int64_t position, float sign,
                      float* x) {
  const int64_t row = table.Row(position);
  RotateRow(table.cos + row, table.sin + row, table.half, table.layout, sign,
            x);
}

// The positions that queries are rotated by.
enum class Rotation { kNone, kTrue, kSink };

inline Rotation WindowRotation(const LocalInputs& in) {
  return in.rope ? Rotation::kTrue : Rotation::kNone;
}
inline Rotation SinkRotation(const LocalInputs& in) {
  return in.sink_rope ? Rotation::kSink : WindowRotation(in);
}

inline void RotateQuery(const LocalInputs& in, Rotation rotation,
                        int64_t position, float sign, float* x) {
  if (rotation == Rotation::kNone) return;
  if (rotation == Rotation::kSink && position >= in.sink_rope.begin) {
    RotateRow(in.sink_rope, in.sink_rope.begin, sign, x);
  } else {
    RotateRow(in.rope, position, sign, x);
  }
}

// Rows of `block` from a [B, T, H, D] view, times `scale`, rotated, zero
// padded: rows[padded, D].
inline void PackRows(const LocalInputs& in, const QueryBlock& block,
                     const TensorView& view, float scale, Rotation rotation,
                     float* rows) {
  const int64_t dim = view.shape[3];
  float* at = rows;
  for (int64_t t = block.begin; t < block.end; ++t) {
    const int64_t position = block.first_position + t - block.begin;
    for (int64_t h = block.heads.begin; h < block.heads.end; ++h, at += dim) {
      LoadRows(view, block.b, t, 1, h, scale, at, dim);
      RotateQuery(in, rotation, position, 1, at);
    }
  }
  std::fill(at, rows + block.padded * dim, 0.0f);
}

// The two sets of keys of a block: disjoint, and possibly seen by queries of
// different rotation.
struct BlockPart {
  KeyRange keys;
  int64_t window;
  Rotation rotation;
};
inline std::array<BlockPart, 2> BlockParts(const LocalInputs& in,
                                           const LocalPlan& plan,
                                           const QueryBlock& block) {
  return {BlockPart{SinkKeys(plan, block), kUnboundedWindow, SinkRotation(in)},
          BlockPart{WindowKeys(plan, block), plan.window, WindowRotation(in)}};
}

// Position of each row relative to the block's first.
inline void FillRowPositions(const QueryBlock& block, int32_t* positions) {
  const int64_t heads = block.heads.size();
  for (int64_t r = 0; r < block.padded; ++r) {
    positions[r] = static_cast<int32_t>(std::min(r, block.rows - 1) / heads);
  }
}

// `count` key or value rows from position `first` on as contiguous fp32:
// where they lie if they are that already, otherwise converted into scratch.
inline const float* KeyRows(const KeySource& source, int64_t b, int64_t h,
                            int64_t first, int64_t count, float* scratch,
                            int64_t* ld) {
  // Rows of a wide stride would fight for few sets of the L1 cache.
  constexpr int64_t kNearFloats = 4096;
  const TensorView& view = source.view;
  const int64_t dim = view.shape[3];
  if (first >= source.begin && view.dtype == Dtype::kF32 &&
      view.stride[3] == 1 && view.stride[1] >= dim &&
      (view.stride[1] == dim || view.stride[1] * count <= kNearFloats)) {
    *ld = view.stride[1];
    return view.Row<const float>(b, first - source.begin, h);
  }
  *ld = dim;
  const auto cached_run = [&](int64_t t) {
    return std::min(source.begin - t, ContiguousRun(*source.cache, t));
  };
  if (first < source.begin && source.cache_dtype == Dtype::kF32 &&
      cached_run(first) >= count) {
    return static_cast<const float*>(source.CacheRow(b, h, first));
  }
  const int64_t end = first + count;
  float* at = scratch;
  for (int64_t t = first; t < end;) {
    int64_t run = end - t;
    if (t >= source.begin) {
      LoadRows(view, b, t - source.begin, run, h, 1, at, dim);
    } else {
      run = std::min(run, cached_run(t));
      const TensorView rows = {const_cast<void*>(source.CacheRow(b, h, t)),
                               source.cache_dtype,
                               {1, run, 1, dim},
                               {0, dim, 0, 1}};
      LoadRows(rows, 0, 0, run, 0, 1, at, dim);
    }
    t += run;
    at += run * dim;
  }
  return scratch;
}

// Lanes whose row sees key k of the tile.
template <typename V>
HWY_INLINE hn::Mask<TileD> VisibleLanes(const TileMask& mask, V positions,
                                        int64_t k) {
  const TileD d;
  const hn::RebindToSigned<TileD> d32;
  const auto offset = hn::Sub(hn::Set(d32, static_cast<int32_t>(k)), positions);
  const auto visible = hn::And(hn::Gt(offset, hn::Set(d32, mask.low)),
                               hn::Gt(hn::Set(d32, mask.high + 1), offset));
  return hn::RebindMask(d, visible);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
