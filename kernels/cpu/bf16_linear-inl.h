// Pieces that the passes of linear attention on bf16 tiles share. As
// bf16_tiles-inl.h, for AVX-512 only.
#include <algorithm>
#include <cstddef>

#include "kernels/cpu/bf16_linear_scratch.h"
#include "kernels/problem.h"

#if defined(RATTN_KERNELS_CPU_BF16_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_LINEAR_INL_H_
#undef RATTN_KERNELS_CPU_BF16_LINEAR_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_LINEAR_INL_H_
#endif

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/bf16_softmax-inl.h"
#include "kernels/cpu/feature_map-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// X [rows, padded], X^T as left operands [padded / 16][across], the first
// rows / 32 of each.
inline void PackLeftColumns(const Bf16* x, int64_t rows, int64_t padded,
                            int64_t across, Bf16* tiles) {
  for (int64_t i = 0; i < padded / kSide; ++i) {
    for (int64_t k = 0; k < rows / kDepth; ++k) {
      PackLeftTransposed(x + k * kDepth * padded + i * kSide, padded,
                         tiles + (i * across + k) * kOperandTile);
    }
  }
}

// Row `r` of result tiles that lie side by side from `tiles` on.
HWY_INLINE const float* ResultRow(const float* tiles, int64_t columns,
                                  int64_t r) {
  return tiles + r / kSide * (columns * kSide) + r % kSide * kSide;
}
inline void GatherRow(const float* row, int64_t columns, float* out) {
  for (int64_t j = 0; j < columns; j += kSide) {
    _mm512_storeu_ps(out + j, _mm512_load_ps(row + j * kSide));
  }
}

// RoundRow in pieces of 32 values that begin `piece` values apart.
inline void RoundPieces(const float* x, int64_t n, int64_t padded, Bf16* out,
                        int64_t piece) {
  for (int64_t i = 0; i < padded; i += kDepth, out += piece) {
    RoundRow(x + i, std::clamp<int64_t>(n - i, 0, kDepth), kDepth, out);
  }
}

// 16 values of a state, or of the sum of two of them.
template <bool kSum>
HWY_INLINE __m512 StateValues(const float* a, const float* b, int64_t at) {
  const __m512 x = _mm512_load_ps(a + at);
  return kSum ? _mm512_add_ps(x, _mm512_load_ps(b + at)) : x;
}

// A transposed state of rows x columns result tiles (plus `b` with kSum) as
// right operand of the depth Dv: [rows / 2][columns].
template <bool kSum>
void StateRows(const float* a, const float* b, int64_t rows, int64_t columns,
               Bf16* tiles) {
  for (int64_t k = 0; k < rows; k += 2) {
    for (int64_t j = 0; j < columns; ++j, tiles += kOperandTile) {
      for (int64_t p = 0; p < kSide; ++p) {
        const int64_t tile = (k + p / 8) * columns + j;
        const int64_t at = tile * kResultTile + p % 8 * 2 * kSide;
        _mm512_store_si512(
            tiles + p * kDepth,
            ZipBf16(RoundToBf16(StateValues<kSum>(a, b, at)),
                    RoundToBf16(StateValues<kSum>(a, b, at + kSide))));
      }
    }
  }
}

// The same as right operand of the depth F: [columns / 2][rows].
template <bool kSum>
void StateColumns(const float* a, const float* b, int64_t rows, int64_t columns,
                  Bf16* tiles) {
  for (int64_t k = 0; k < columns; k += 2) {
    for (int64_t j = 0; j < rows; ++j, tiles += kOperandTile) {
      const int64_t tile = (j * columns + k) * kResultTile;
      __m512i r[16];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kSide; ++i) {
        const int64_t at = tile + i * kSide;
        r[i] = RoundToBf16(StateValues<kSum>(a, b, at),
                           StateValues<kSum>(a, b, at + kResultTile));
      }
      Transpose16(r);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kSide; ++i) {
        _mm512_store_si512(tiles + i * kDepth, r[i]);
      }
    }
  }
}

// SoftmaxBothSigns to the accuracy of the rounding that follows: the rounded
// argument adds at most 1.4e-7 |argument| to the error of Exp2ForBf16. n is a
// multiple of 8: only the last vector can be half empty.
inline void SoftmaxFeatures(const float* x, int64_t n, float* out) {
  const auto mask = [n](int64_t i) HWY_ATTR {
    return static_cast<__mmask16>(n - i >= kSide ? 0xffff : 0xff);
  };
  __m512 high = _mm512_set1_ps(kMinusInfinity);
  __m512 low = _mm512_set1_ps(-kMinusInfinity);
  for (int64_t i = 0; i < n; i += kSide) {
    const __m512 v = _mm512_maskz_loadu_ps(mask(i), x + i);
    high = _mm512_mask_max_ps(high, mask(i), high, v);
    low = _mm512_mask_min_ps(low, mask(i), low, v);
  }
  high = _mm512_set1_ps(_mm512_reduce_max_ps(high));
  low = _mm512_set1_ps(_mm512_reduce_min_ps(low));
  const __m512 log2e = _mm512_set1_ps(kLog2E);
  __m512 up_sum = _mm512_setzero_ps(), down_sum = up_sum;
  for (int64_t i = 0; i < n; i += kSide) {
    const __m512 v = _mm512_maskz_loadu_ps(mask(i), x + i);
    const __m512 up = Exp2ForBf16(_mm512_mul_ps(log2e, _mm512_sub_ps(v, high)));
    const __m512 down =
        Exp2ForBf16(_mm512_mul_ps(log2e, _mm512_sub_ps(low, v)));
    up_sum = _mm512_mask_add_ps(up_sum, mask(i), up_sum, up);
    down_sum = _mm512_mask_add_ps(down_sum, mask(i), down_sum, down);
    _mm512_mask_storeu_ps(out + i, mask(i), up);
    _mm512_mask_storeu_ps(out + n + i, mask(i), down);
  }
  ScaleRow(1.f / _mm512_reduce_add_ps(up_sum), out, n, out, false);
  ScaleRow(1.f / _mm512_reduce_add_ps(down_sum), out + n, n, out + n, false);
}

// Rows of a head lie a token apart, too far for processors to see a stream:
// asks for the one that is read some tokens later.
inline void FetchAhead(const TensorView& view, int64_t b, int64_t t,
                       int64_t h) {
  constexpr int64_t kTokens = 6, kLine = 64;
  if (t + kTokens >= view.shape[1] || view.stride[3] != 1) return;
  const auto size = static_cast<int64_t>(ByteSize(view.dtype));
  const auto* row = static_cast<const std::byte*>(view.data) +
                    view.Offset(b, t + kTokens, h) * size;
  for (int64_t i = 0; i < view.shape[3] * size; i += kLine) {
    hwy::Prefetch(row + i);
  }
}

// Which part of a square of 32 x 32 scores remains.
enum class Keep { kAll, kLower, kUpper };

// A square of scores, two result tiles and two `down` floats behind them, as
// two left operand tiles `across` values apart.
HWY_INLINE void RoundSquare(const float* scores, int64_t down, Keep keep,
                            Bf16* tiles, int64_t across) {
  for (int64_t r = 0; r < kStrip; ++r) {
    const float* row = scores + r / kSide * down + r % kSide * kSide;
    uint32_t mask = ~0u;
    if (keep == Keep::kLower) mask = ~0u >> (kStrip - 1 - r);
    if (keep == Keep::kUpper) mask = ~0u << r;
    const __m512i rounded =
        RoundToBf16(_mm512_load_ps(row), _mm512_load_ps(row + kResultTile));
    _mm512_store_si512(
        tiles + r / kSide * across + r % kSide * kDepth,
        _mm512_maskz_mov_epi16(static_cast<__mmask32>(mask), rounded));
  }
}

// Transpose of that: two tiles of 16 columns x 32 rows, `across` apart.
HWY_INLINE void TransposeSquare(const Bf16* tiles, int64_t across, Bf16* out,
                                int64_t out_across) {
  for (int64_t half = 0; half < 2; ++half) {
    __m512i r[16];
#pragma GCC unroll 16
    for (int64_t p = 0; p < kSide; ++p) {
      const Bf16* from = tiles + p / 8 * across + half * kSide;
      r[p] = ZipRows(from, kDepth, p % 8);
    }
    Transpose16(r);
#pragma GCC unroll 16
    for (int64_t i = 0; i < kSide; ++i) {
      _mm512_store_si512(out + half * out_across + i * kDepth, r[i]);
    }
  }
}

// Everything that concerns tokens and states but not queries; tasks and
// streams as in TokenPass (linear_blocks-inl.h).
class Bf16TokenPass {
 public:
  Bf16TokenPass(const Problem& problem, const Buffers& buffers,
                const Bf16LinearPlan& plan)
      : plan_(plan),
        map_(problem.spec.memory.feature_map),
        scale_(static_cast<float>(problem.memory_scale)),
        q_(buffers.q_memory ? buffers.q_memory : buffers.q),
        k_(buffers.k_memory ? buffers.k_memory : buffers.k),
        v_(buffers.v),
        initial_state_(buffers.initial_state) {}

 protected:
  int64_t batch(int64_t task) const { return task / plan_.kv_heads; }
  int64_t kv(int64_t task) const { return task % plan_.kv_heads; }
  int64_t feature_tiles() const { return plan_.depth / kSide; }
  int64_t value_tiles() const { return plan_.width / kSide; }
  int64_t feature_groups() const { return plan_.depth / kDepth; }
  int64_t value_groups() const { return plan_.width / kDepth; }
  static int64_t Strips(int64_t places) {
    return (places + kStrip - 1) / kStrip;
  }
  bool HasState(const MemoryChunk& chunk) const {
    return initial_state_ || chunk.token_begin > 0;
  }
  Bf16* KeyRows(const Bf16TokenBlock& w) const {
    return w.state_rows + plan_.state_floats();
  }

  // Operands whose tiles along the depth lie side by side, `along` of them.
  static TileOperand DepthInner(const Bf16* tiles, int64_t along) {
    return {tiles, along * kOperandTile, kOperandTile};
  }
  // Right operands of which `across` tiles lie side by side.
  static TileOperand DepthOuter(const Bf16* tiles, int64_t across) {
    return {tiles, kOperandTile, across * kOperandTile};
  }
  static TileResult Result(float* tiles, int64_t columns) {
    return {tiles, columns * kResultTile, kResultTile, kSide};
  }

  // phi of one row, rounded, in pieces of 32 values `piece` values apart.
  void PutFeatures(const TensorView& view, int64_t b, int64_t t, int64_t h,
                   const Bf16TokenBlock& w, int64_t piece, Bf16* out) const {
    FetchAhead(view, b, t, h);
    LoadRows(view, b, t, 1, h, 1.f, w.row, plan_.head_dim);
    if (map_ == FeatureMap::kSoftmax) {
      SoftmaxFeatures(w.row, plan_.head_dim, w.phi);
    } else {
      FeatureRow(map_, w.row, plan_.head_dim, w.phi);
    }
    RoundPieces(w.phi, plan_.features, plan_.depth, out, piece);
  }

  // phi(k) and v in rows and as operands of Absorb.
  void LoadTokens(int64_t task, const MemoryChunk& chunk,
                  const Bf16TokenBlock& w) const {
    const int64_t rows = Strips(chunk.tokens) * kStrip;
    for (int64_t i = 0; i < chunk.tokens; ++i) {
      const int64_t t = chunk.token_begin + i;
      PutFeatures(k_, batch(task), t, kv(task), w, kDepth,
                  w.keys + i * plan_.depth);
      FetchAhead(v_, batch(task), t, kv(task));
      StageRow(v_, batch(task), t, kv(task), plan_.width, w.row,
               w.values + i * plan_.width);
    }
    std::fill(w.keys + chunk.tokens * plan_.depth, w.keys + rows * plan_.depth,
              Bf16{});
    std::fill(w.values + chunk.tokens * plan_.width,
              w.values + rows * plan_.width, Bf16{});
    PackRightRows(w.keys, rows, plan_.depth, KeyRows(w));
    PackLeftColumns(w.values, rows, plan_.width, plan_.strips(), w.values_t);
  }

  // sum (+)= v^T phi(k) of the loaded chunk.
  void Absorb(const MemoryChunk& chunk, const Bf16TokenBlock& w, bool add,
              float* sum) const {
    TileGemm(add, value_tiles(), feature_tiles(), Strips(chunk.tokens),
             DepthInner(w.values_t, plan_.strips()),
             DepthOuter(KeyRows(w), feature_tiles()),
             Result(sum, feature_tiles()));
  }

  // What the chunks [begin, end) add to the state.
  void SumChunks(int64_t task, int64_t begin, int64_t end,
                 const Bf16TokenBlock& w, float* sum) const {
    for (int64_t c = begin; c < end; ++c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      LoadTokens(task, chunk, w);
      Absorb(chunk, w, c > begin, sum);
    }
  }

  void Clear(float* state) const {
    std::fill_n(state, plan_.state_floats(), 0.f);
  }
  void Copy(const float* from, float* to) const {
    std::copy_n(from, plan_.state_floats(), to);
  }
  // state += sum.
  void AddSum(const float* sum, float* state) const {
    ScaleRow(1.f, sum, plan_.state_floats(), state, true);
  }
  // `state`, plus `sum` where it is not null, rounded.
  void RoundRows(const float* state, const float* sum, Bf16* tiles) const {
    const auto round = sum != nullptr ? StateRows<true> : StateRows<false>;
    round(state, sum, value_tiles(), feature_tiles(), tiles);
  }
  void RoundColumns(const float* state, const float* sum, Bf16* tiles) const {
    const auto round =
        sum != nullptr ? StateColumns<true> : StateColumns<false>;
    round(state, sum, value_tiles(), feature_tiles(), tiles);
  }

  // fp32 view [B, Hs, F, Dv] <-> state; an absent one is zero.
  void LoadState(const TensorView& view, int64_t task, int64_t stream,
                 const Bf16TokenBlock& w, float* state) const {
    Clear(state);
    const int64_t head = plan_.state_head(kv(task), stream);
    for (int64_t f = 0; view && f < plan_.features; ++f) {
      LoadRow(view.Row<const float>(batch(task), head, f), view.stride[3],
              plan_.value_dim, 1.f, w.row);
      for (int64_t i = 0; i < plan_.value_dim; ++i) {
        *StateAt(state, i, f) = w.row[i];
      }
    }
  }
  void StoreState(float* state, const TensorView& view, int64_t task,
                  int64_t stream, const Bf16TokenBlock& w) const {
    const int64_t head = plan_.state_head(kv(task), stream);
    for (int64_t f = 0; view && f < plan_.features; ++f) {
      for (int64_t i = 0; i < plan_.value_dim; ++i) {
        w.row[i] = *StateAt(state, i, f);
      }
      StoreRow(w.row, plan_.value_dim, view.Row<float>(batch(task), head, f),
               view.stride[3], false);
    }
  }
  float* StateAt(float* state, int64_t value, int64_t feature) const {
    const int64_t tile = value / kSide * feature_tiles() + feature / kSide;
    return state + tile * kResultTile + value % kSide * kSide + feature % kSide;
  }

  const Bf16LinearPlan& plan_;
  const FeatureMap map_;
  const float scale_;
  const TensorView q_, k_, v_, initial_state_;
};

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
