// Tiles of 16-bit elements that products of four warps read from shared memory
// (wgmma), in panels of 64 columns: Tile (tile.h) of 64 columns is the 128-byte
// swizzle of TMA and of matrix descriptors, where it begins at a multiple of
// 1024 bytes. Panels of a tile follow each other.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/tile.h"
#include "kernels/cuda/tile_map.h"

namespace rattn::cuda {

inline constexpr int kSwizzleBytes = 1024;  // eight rows of 128 bytes
inline constexpr int kStepOfProduct = 16;   // columns of A, rows of B

// PTX ISA, "Matrix descriptor" of wgmma: bits 0.. the address, 16.. the leading
// and 32.. the stride byte offset, all without their lowest four bits; 62..
// the swizzle, 1 for 128 bytes.
constexpr uint64_t Descriptor(uint32_t address, int leading, int stride) {
  return (address & 0x3ffffu) >> 4 | static_cast<uint64_t>(leading >> 4) << 16 |
         static_cast<uint64_t>(stride >> 4) << 32 | uint64_t{1} << 62;
}

template <typename T_, int kRows_, int kColumns_>
struct PanelTile {
  using T = T_;
  static constexpr int kRows = kRows_, kColumns = kColumns_;
  using Panel = Tile<T, kRows, kPanelColumns>;
  static constexpr int kPanels = kColumns / kPanelColumns;
  static constexpr int kBytes = kPanels * Panel::kBytes;
  static_assert(kColumns % kPanelColumns == 0);
  static_assert(Panel::kBytes % kSwizzleBytes == 0);

  int byte;  // of the block's shared memory, a multiple of kSwizzleBytes

  template <class Exec>
  RATTN_FN Panel PanelAt(Exec& x, int panel) const {
    return TileAt<Panel>(x, byte + panel * Panel::kBytes);
  }
  template <class Exec>
  RATTN_FN uint32_t Address(Exec& x, int row, int column) const {
    const Panel panel = PanelAt(x, column / kPanelColumns);
    return x.SharedAddress(panel.data, row * kPanelColumns) +
           static_cast<uint32_t>(column % kPanelColumns * sizeof(T));
  }
  // Rows from `row` (a multiple of 8) on, of kStepOfProduct columns.
  template <class Exec>
  RATTN_FN uint64_t Rows(Exec& x, int row, int column) const {
    return Descriptor(Address(x, row, column), kCopyBytes, kSwizzleBytes);
  }
  // kStepOfProduct rows, of all columns.
  template <class Exec>
  RATTN_FN uint64_t Columns(Exec& x, int row) const {
    return Descriptor(Address(x, row, 0), Panel::kBytes, kSwizzleBytes);
  }
};

// Begins c[i][n] = the product of row `row` + i of a and row n of b.
template <class Exec, class TileA, class TileB, int kCount>
RATTN_FN void BeginRowProducts(Exec& x, const TileA& a, int row, const TileB& b,
                               Accumulator (&c)[kCount]) {
  using T = typename TileA::T;
  static_assert(TileA::kColumns == TileB::kColumns);
  static_assert(kCount * 8 == TileB::kRows);
  RATTN_UNROLL
  for (int d = 0; d < TileA::kColumns; d += kStepOfProduct) {
    x.template GroupMma<T>(a.Rows(x, row, d), b.Rows(x, 0, d), c, d > 0);
  }
}

// Begins c += weights times b.
template <class Exec, class TileB, int kSteps, int kCount>
RATTN_FN void BeginWeighted(Exec& x, const FragmentA (&weights)[kSteps],
                            const TileB& b, Accumulator (&c)[kCount]) {
  using T = typename TileB::T;
  static_assert(kSteps * kStepOfProduct == TileB::kRows);
  static_assert(kCount * 8 == TileB::kColumns);
  RATTN_UNROLL
  for (int step = 0; step < kSteps; ++step) {
    x.template GroupMmaColumns<T>(weights[step],
                                  b.Columns(x, step * kStepOfProduct), c);
  }
}

}  // namespace rattn::cuda
