#include "kernels/cpu/weight_product.h"

#include <algorithm>

#include "kernels/bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_scope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/weight_product.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_tiles-inl.h"
#include "kernels/cpu/tile_ops-inl.h"

#ifndef RATTN_KERNELS_CPU_WEIGHT_PRODUCT_LAYOUT_
#define RATTN_KERNELS_CPU_WEIGHT_PRODUCT_LAYOUT_
namespace rattn {

// bf16: a panel is two columns of tiles, tile k of the depth beside its
// neighbour; a tile is 16 pairs of depths by 16 columns.
inline constexpr int64_t kTileDepth = 32;
inline constexpr int64_t kTileColumns = 16;
inline constexpr int64_t kTileElements = kTileDepth * kTileColumns;
inline constexpr int64_t kPanelTiles = kPanelColumns / kTileColumns;
inline constexpr int64_t kRowBlock = 16;
// Depth at a time, so that its part of a panel stays in the L2 cache and that
// of a few rows in the L1 cache.
inline constexpr int64_t kDepthBlock = 1024;

inline int64_t DepthTiles(int64_t depth) {
  return (depth + kTileDepth - 1) / kTileDepth;
}

}  // namespace rattn
#endif

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// ------------------------------------------------------- fp32 multiplications

inline constexpr int64_t kLanes = hn::MaxLanes(TileD());
inline constexpr int kVecs =
    static_cast<int>(std::min<int64_t>(kTileVecs, kPanelColumns / kLanes));
// As many sums as registers hold beside one row of the panel.
inline constexpr int kRows = kVecs < kTileVecs ? 8 : kTileRows;

// y[rows, panel] (+)= x[rows, depth] b[depth, panel].
void MultiplyBlock(int64_t rows, int64_t depth, const float* x, int64_t ldx,
                   const float* b, float* y, int64_t ldy, bool add) {
  for (int64_t c = 0; c < kPanelColumns; c += kVecs * kLanes) {
    RowStrip<kRows, kVecs, false, false>(rows, depth, x, ldx, b + c,
                                         kPanelColumns, y + c, ldy, add, 0);
  }
}

void F32Panel(const WeightProductCall& call, const float* x, int64_t panel) {
  const float* b = static_cast<const float*>(call.panels) +
                   panel * PanelElements(call.depth, Dtype::kF32);
  const int64_t ld = call.panel_count * kPanelColumns;
  float* y = call.y + panel * kPanelColumns;
  for (int64_t k = 0; k < call.depth; k += kDepthBlock) {
    MultiplyBlock(call.rows, std::min(kDepthBlock, call.depth - k), x + k,
                  call.depth, b + k * kPanelColumns, y, ld, k > 0);
  }
}

// `tiles` tiles of the depth, both columns of them, as fp32 [32 tiles, 32].
void WidenTiles(const Bf16* from, int64_t tiles, float* to) {
  const hn::CappedTag<float, kTileColumns> d;
  const hn::RebindToUnsigned<decltype(d)> bits;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t t = 0; t < tiles * kPanelTiles; ++t, from += kTileElements) {
    float* at = to + t / kPanelTiles * kTileDepth * kPanelColumns +
                t % kPanelTiles * kTileColumns;
    for (int64_t p = 0; p < kTileDepth / 2; ++p, at += 2 * kPanelColumns) {
      for (int64_t c = 0; c < kTileColumns; c += lanes) {
        const auto pairs = hn::LoadU(
            bits, reinterpret_cast<const uint32_t*>(from + p * kTileDepth) + c);
        hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(pairs)), d, at + c);
        hn::StoreU(hn::BitCast(d, hn::And(pairs, hn::Set(bits, 0xffff0000u))),
                   d, at + kPanelColumns + c);
      }
    }
  }
}

void WidenedPanel(const WeightProductCall& call, const float* x,
                  int64_t panel) {
  constexpr int64_t kBlock = 256;
  HWY_ALIGN float block[kBlock * kPanelColumns];
  const Bf16* b = static_cast<const Bf16*>(call.panels) +
                  panel * PanelElements(call.depth, Dtype::kBF16);
  const int64_t ld = call.panel_count * kPanelColumns;
  float* y = call.y + panel * kPanelColumns;
  for (int64_t k = 0; k < call.depth; k += kBlock) {
    const int64_t depth = std::min(kBlock, call.depth - k);
    WidenTiles(b + k * kPanelColumns, DepthTiles(depth), block);
    MultiplyBlock(call.rows, depth, x + k, call.depth, block, y, ld, k > 0);
  }
}

void RunF32(const WeightProductCall& call) {
  ParallelFor(call.threads, call.panel_count, [&](int64_t panel, int) {
    F32Panel(call, static_cast<const float*>(call.x), panel);
  });
}

void RunWidened(const WeightProductCall& call) {
  const auto* in = static_cast<const Bf16*>(call.x);
  float* x = static_cast<float*>(call.scratch);
  ParallelFor(call.threads, DepthTiles(call.rows), [&](int64_t block, int) {
    const int64_t end = std::min(call.rows, (block + 1) * kTileDepth);
    LoadRow(in + block * kTileDepth * call.depth, 1,
            (end - block * kTileDepth) * call.depth, 1.0f,
            x + block * kTileDepth * call.depth);
  });
  ParallelFor(call.threads, call.panel_count,
              [&](int64_t panel, int) { WidenedPanel(call, x, panel); });
}

// --------------------------------------------------------------- bf16 tiles

#if HWY_TARGET == HWY_AVX3

static_assert(kSide == kTileColumns && kSide == kRowBlock &&
              kDepth == kTileDepth);

// Row block i of x as left tiles, zero behind the depth.
void PackRowBlock(const WeightProductCall& call, int64_t i) {
  const int64_t tiles = DepthTiles(call.depth);
  const int64_t rows = std::min(kSide, call.rows - i * kSide);
  const auto* x = static_cast<const Bf16*>(call.x) + i * kSide * call.depth;
  Bf16* to = static_cast<Bf16*>(call.scratch) + i * tiles * kTileElements;
  for (int64_t k = 0; k < tiles; ++k, to += kTileElements) {
    const int64_t depth = std::min(kDepth, call.depth - k * kDepth);
    const __mmask32 mask = static_cast<__mmask32>(~uint32_t{0}) >> (32 - depth);
    for (int64_t r = 0; r < rows; ++r) {
      const __m512i values =
          _mm512_maskz_loadu_epi16(mask, x + r * call.depth + k * kDepth);
      _mm512_store_si512(to + r * kDepth, values);
    }
  }
}

// The last rows, fewer than a tile has: no more of them than asked are
// computed.
template <bool kAdd, int kCount>
void LastRows(const Bf16* a, const Bf16* const* b, int64_t depth, float* y,
              int64_t ld) {
  float* const c[] = {y, y + kSide};
  VectorRows<kAdd, kPanelTiles, kCount>(
      a, kTileElements, b, kPanelTiles * kTileElements, depth, c, ld);
}

template <bool kAdd>
void LastRows(int64_t rows, const Bf16* a, const Bf16* const* b, int64_t depth,
              float* y, int64_t ld) {
  while (rows > 0) {
    const int64_t count = rows >= 8 ? 8 : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    switch (count) {
      case 8:
        LastRows<kAdd, 8>(a, b, depth, y, ld);
        break;
      case 4:
        LastRows<kAdd, 4>(a, b, depth, y, ld);
        break;
      case 2:
        LastRows<kAdd, 2>(a, b, depth, y, ld);
        break;
      default:
        LastRows<kAdd, 1>(a, b, depth, y, ld);
    }
    rows -= count;
    a += count * kDepth;
    y += count * ld;
  }
}

template <bool kAdd>
void TileBlock(const WeightProductCall& call, int64_t panel, int64_t k,
               int64_t depth) {
  const int64_t tiles = DepthTiles(call.depth);
  const Bf16* a = static_cast<const Bf16*>(call.scratch) + k * kTileElements;
  const Bf16* b = static_cast<const Bf16*>(call.panels) +
                  (panel * tiles + k) * kPanelTiles * kTileElements;
  const int64_t ld = call.panel_count * kPanelColumns;
  float* y = call.y + panel * kPanelColumns;
  const bool amx = RunningTileUnit() == TileUnit::kAmx;
  const int64_t blocks =
      amx ? ProductRows(call.rows) / kSide : call.rows / kSide;
  TileGemm<kAdd>(blocks, kPanelTiles, depth,
                 {a, tiles * kTileElements, kTileElements},
                 {b, kTileElements, kPanelTiles * kTileElements},
                 {y, kSide * ld, kSide, ld});
  if (amx || blocks * kSide == call.rows) return;
  const Bf16* const right[] = {b, b + kTileElements};
  LastRows<kAdd>(call.rows - blocks * kSide, a + blocks * tiles * kTileElements,
                 right, depth, y + blocks * kSide * ld, ld);
}

void TilePanel(const WeightProductCall& call, int64_t panel) {
  const int64_t tiles = DepthTiles(call.depth);
  constexpr int64_t kBlock = kDepthBlock / kDepth;
  TileBlock<false>(call, panel, 0, std::min(kBlock, tiles));
  for (int64_t k = kBlock; k < tiles; k += kBlock) {
    TileBlock<true>(call, panel, k, std::min(kBlock, tiles - k));
  }
}

void RunTiles(const WeightProductCall& call) {
  ParallelFor(call.threads, ProductRows(call.rows) / kSide,
              [&](int64_t i, int) { PackRowBlock(call, i); });
  ParallelFor<TileScope>(call.threads, call.panel_count,
                         [&](int64_t panel, int) { TilePanel(call, panel); });
}

#endif  // HWY_TARGET == HWY_AVX3

void RunProduct(const WeightProductCall& call) {
  if (call.dtype == Dtype::kF32) return RunF32(call);
#if HWY_TARGET == HWY_AVX3
  if (TilesOn()) return RunTiles(call);
#endif
  RunWidened(call);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {

HWY_EXPORT(RunProduct);

// Element (column, depth) of a panel.
int64_t PlaceInPanel(int64_t column, int64_t k, Dtype dtype) {
  if (dtype == Dtype::kF32) return k * kPanelColumns + column;
  const int64_t tile = k / kTileDepth * kPanelTiles + column / kTileColumns;
  return tile * kTileElements + k % kTileDepth / 2 * kTileDepth +
         column % kTileColumns * 2 + k % 2;
}

template <typename T>
void PackPanel(const T* weight, int64_t width, int64_t depth, Dtype dtype,
               int64_t panel, T* to) {
  std::fill_n(to, PanelElements(depth, dtype), T{});
  const int64_t first = panel * kPanelColumns;
  const int64_t columns = std::min(kPanelColumns, width - first);
  for (int64_t c = 0; c < columns; ++c) {
    const T* row = weight + (first + c) * depth;
    for (int64_t k = 0; k < depth; ++k) to[PlaceInPanel(c, k, dtype)] = row[k];
  }
}

template <typename T>
void Pack(const void* weight, int64_t width, int64_t depth, Dtype dtype,
          void* panels, int threads) {
  const int64_t count = (width + kPanelColumns - 1) / kPanelColumns;
  ParallelFor(threads, count, [&](int64_t panel, int) {
    PackPanel(static_cast<const T*>(weight), width, depth, dtype, panel,
              static_cast<T*>(panels) + panel * PanelElements(depth, dtype));
  });
}

}  // namespace

int64_t PanelElements(int64_t depth, Dtype dtype) {
  return kPanelColumns *
         (dtype == Dtype::kF32 ? depth : DepthTiles(depth) * kTileDepth);
}

void PackWeight(const void* weight, int64_t width, int64_t depth, Dtype dtype,
                void* panels, int threads) {
  if (dtype == Dtype::kF32) {
    Pack<float>(weight, width, depth, dtype, panels, threads);
  } else {
    Pack<Bf16>(weight, width, depth, dtype, panels, threads);
  }
}

int64_t ProductRows(int64_t rows) {
  return (rows + kRowBlock - 1) / kRowBlock * kRowBlock;
}

size_t WeightProductScratch(int64_t rows, int64_t depth, Dtype dtype) {
  if (dtype == Dtype::kF32) return 0;
  // x as tiles, or as fp32.
  return static_cast<size_t>(
      std::max(ProductRows(rows) * DepthTiles(depth) * kTileDepth * int64_t{2},
               rows * depth * int64_t{4}));
}

void WeightProduct(const WeightProductCall& call) {
  if (call.rows > 0) HWY_DYNAMIC_DISPATCH(RunProduct)(call);
}

}  // namespace rattn
#endif  // HWY_ONCE
