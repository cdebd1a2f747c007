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
// Rows of a task: its part of x stays in the L2 cache while panels pass by.
inline constexpr int64_t kTaskRows = 128;
// Tasks for each thread, so that all end together; one where time is that of
// reading the weights: every start of a stream costs. A token's products with
// SmolLM2's weights in bf16, two threads: 79 % of the read bandwidth with one
// task, 75 % with two, 73 % with four.
inline constexpr int64_t kTasksPerThread = 4;
inline constexpr int64_t kFewTaskRows = 16;

inline int64_t DepthTiles(int64_t depth) {
  return (depth + kTileDepth - 1) / kTileDepth;
}

inline int64_t WholeBlocks(int64_t rows) {
  return (rows + kRowBlock - 1) / kRowBlock * kRowBlock;
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

// A task: rows [first, first + rows) of x times a few panels. No thread reads
// what another one has packed.
struct RowRange {
  int64_t first, rows;
};

// Calls pack(rows, scratch) and then multiply(rows, panel, scratch) for every
// panel of a task. `Scope`: see ParallelFor.
template <typename Scope, typename Pack, typename Multiply>
void RunTasks(const WeightProductCall& call, const Pack& pack,
              const Multiply& multiply) {
  const int64_t chunks = (call.rows + kTaskRows - 1) / kTaskRows;
  const int64_t wanted = call.rows <= kFewTaskRows
                             ? call.threads
                             : kTasksPerThread * call.threads / chunks;
  const int64_t groups =
      call.threads == 1 ? 1 : std::clamp<int64_t>(wanted, 1, call.panel_count);
  const int64_t each = (call.panel_count + groups - 1) / groups;
  const size_t bytes =
      WeightProductScratch(call.rows, call.depth, call.dtype, 1);
  ParallelFor<Scope>(
      call.threads, chunks * groups, [&](int64_t task, int thread) {
        const int64_t first = task / groups * kTaskRows;
        const RowRange range{first, std::min(kTaskRows, call.rows - first)};
        std::byte* scratch = static_cast<std::byte*>(call.scratch) +
                             static_cast<size_t>(thread) * bytes;
        pack(range, scratch);
        const int64_t begin = task % groups * each;
        const int64_t end = std::min(begin + each, call.panel_count);
        for (int64_t panel = begin; panel < end; ++panel) {
          multiply(range, panel, scratch);
        }
      });
}

// Elements of y from one row to the next, and where a panel's rows begin.
int64_t RowStride(const WeightProductCall& call) {
  return call.panel_count * kPanelColumns;
}
float* Target(const WeightProductCall& call, const RowRange& range,
              int64_t panel) {
  return call.y + range.first * RowStride(call) + panel * kPanelColumns;
}

void F32Panel(const WeightProductCall& call, const RowRange& range,
              int64_t panel) {
  const float* x = static_cast<const float*>(call.x) + range.first * call.depth;
  const float* b = static_cast<const float*>(call.panels) +
                   panel * PanelElements(call.depth, Dtype::kF32);
  for (int64_t k = 0; k < call.depth; k += kDepthBlock) {
    MultiplyBlock(range.rows, std::min(kDepthBlock, call.depth - k), x + k,
                  call.depth, b + k * kPanelColumns, Target(call, range, panel),
                  RowStride(call), k > 0);
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

void WidenedPanel(const WeightProductCall& call, const RowRange& range,
                  int64_t panel, const float* x) {
  constexpr int64_t kBlock = 256;
  HWY_ALIGN float block[kBlock * kPanelColumns];
  const Bf16* b = static_cast<const Bf16*>(call.panels) +
                  panel * PanelElements(call.depth, Dtype::kBF16);
  for (int64_t k = 0; k < call.depth; k += kBlock) {
    const int64_t depth = std::min(kBlock, call.depth - k);
    WidenTiles(b + k * kPanelColumns, DepthTiles(depth), block);
    MultiplyBlock(range.rows, depth, x + k, call.depth, block,
                  Target(call, range, panel), RowStride(call), k > 0);
  }
}

void RunF32(const WeightProductCall& call) {
  RunTasks<NoScope>(
      call, [](const RowRange&, std::byte*) {},
      [&](const RowRange& range, int64_t panel, std::byte*) {
        F32Panel(call, range, panel);
      });
}

void RunWidened(const WeightProductCall& call) {
  const auto* x = static_cast<const Bf16*>(call.x);
  RunTasks<NoScope>(
      call,
      [&](const RowRange& range, std::byte* scratch) {
        LoadRow(x + range.first * call.depth, 1, range.rows * call.depth, 1.0f,
                reinterpret_cast<float*>(scratch));
      },
      [&](const RowRange& range, int64_t panel, std::byte* scratch) {
        WidenedPanel(call, range, panel, reinterpret_cast<float*>(scratch));
      });
}

// --------------------------------------------------------------- bf16 tiles

#if HWY_TARGET == HWY_AVX3

static_assert(kSide == kTileColumns && kSide == kRowBlock &&
              kDepth == kTileDepth);

// Rows of x as left tiles, zero behind the depth.
void PackRows(const WeightProductCall& call, const RowRange& range, Bf16* to) {
  const int64_t tiles = DepthTiles(call.depth);
  for (int64_t r = 0; r < range.rows; ++r) {
    const Bf16* x =
        static_cast<const Bf16*>(call.x) + (range.first + r) * call.depth;
    Bf16* row = to + r / kSide * tiles * kTileElements + r % kSide * kDepth;
    for (int64_t k = 0; k < tiles; ++k, row += kTileElements) {
      const int64_t depth = std::min(kDepth, call.depth - k * kDepth);
      const __mmask32 mask =
          static_cast<__mmask32>(~uint32_t{0}) >> (kDepth - depth);
      _mm512_store_si512(row, _mm512_maskz_loadu_epi16(mask, x + k * kDepth));
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

// Packed rows times the tiles [k, k + depth) of a panel.
template <bool kAdd>
void TileBlock(const WeightProductCall& call, const RowRange& range,
               int64_t panel, const Bf16* packed, int64_t k, int64_t depth) {
  const int64_t tiles = DepthTiles(call.depth);
  const Bf16* a = packed + k * kTileElements;
  const Bf16* b = static_cast<const Bf16*>(call.panels) +
                  (panel * tiles + k) * kPanelTiles * kTileElements;
  const int64_t ld = RowStride(call);
  float* y = Target(call, range, panel);
  // AMX computes whole blocks: y has room for them.
  const int64_t blocks = ProductRows(range.rows) / kSide;
  TileGemm<kAdd>(blocks, kPanelTiles, depth,
                 {a, tiles * kTileElements, kTileElements},
                 {b, kTileElements, kPanelTiles * kTileElements},
                 {y, kSide * ld, kSide, ld});
  const Bf16* const right[] = {b, b + kTileElements};
  LastRows<kAdd>(range.rows - blocks * kSide,
                 a + blocks * tiles * kTileElements, right, depth,
                 y + blocks * kSide * ld, ld);
}

void TilePanel(const WeightProductCall& call, const RowRange& range,
               int64_t panel, const Bf16* packed) {
  const int64_t tiles = DepthTiles(call.depth);
  constexpr int64_t kBlock = kDepthBlock / kDepth;
  TileBlock<false>(call, range, panel, packed, 0, std::min(kBlock, tiles));
  for (int64_t k = kBlock; k < tiles; k += kBlock) {
    TileBlock<true>(call, range, panel, packed, k, std::min(kBlock, tiles - k));
  }
}

void RunTiles(const WeightProductCall& call) {
  RunTasks<TileScope>(
      call,
      [&](const RowRange& range, std::byte* scratch) {
        PackRows(call, range, reinterpret_cast<Bf16*>(scratch));
      },
      [&](const RowRange& range, int64_t panel, std::byte* scratch) {
        TilePanel(call, range, panel, reinterpret_cast<Bf16*>(scratch));
      });
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
  return RunningTileUnit() == TileUnit::kAmx ? WholeBlocks(rows) : rows;
}

size_t WeightProductScratch(int64_t rows, int64_t depth, Dtype dtype,
                            int threads) {
  if (dtype == Dtype::kF32) return 0;
  // Of a task: rows as tiles, or as fp32.
  const int64_t most = std::min(WholeBlocks(rows), kTaskRows);
  const int64_t bytes =
      std::max(most * DepthTiles(depth) * kTileDepth * int64_t{2},
               (most * depth * int64_t{4} + 63) / 64 * 64);
  return static_cast<size_t>(bytes) * static_cast<size_t>(threads);
}

void WeightProduct(const WeightProductCall& call) {
  if (call.rows > 0) HWY_DYNAMIC_DISPATCH(RunProduct)(call);
}

}  // namespace rattn
#endif  // HWY_ONCE
