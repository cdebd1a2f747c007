// Tiles of 16-bit elements in shared memory, and the fragments that warps load
// from them. A row is kColumns elements, in pieces of 16 bytes; piece p of row
// r lies at place p ^ (r % 8), so that the eight rows of a matrix, or eight
// pieces of a row, touch all banks once.
#pragma once

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

template <typename T_, int kRows_, int kColumns_>
struct Tile {
  using T = T_;
  static constexpr int kRows = kRows_, kColumns = kColumns_;
  static constexpr int kPiece = kCopyBytes / sizeof(T);
  static constexpr int kPieces = kColumns / kPiece;
  static constexpr int kCount = kRows * kColumns;
  static constexpr int kBytes = kCount * static_cast<int>(sizeof(T));
  static_assert(kRows % 8 == 0 && kPieces % 8 == 0);

  Shared<T> data;

  RATTN_FN static int Index(int row, int column) {
    return row * kColumns + (column / kPiece ^ row % 8) * kPiece +
           column % kPiece;
  }
};

template <typename Tile, class Exec>
RATTN_FN Tile TileAt(Exec& x, int byte) {
  return {x.template SharedAt<typename Tile::T>(byte, Tile::kCount)};
}

// Where a row of a tile comes from; rows that are not valid become zeros.
struct RowSource {
  int token = 0;
  int head = 0;
  bool valid = false;
};

// Begins to copy rows of `view` [B, T, H, kColumns] (unit last stride, aligned
// rows), from `first_column` on, with all kThreads threads of the block;
// source(row) -> RowSource.
template <int kThreads, class Exec, class Tile, class Source>
RATTN_FN void CopyRows(Exec& x, const Tile& tile,
                       const GlobalView<const typename Tile::T>& view,
                       int batch, const Source& source, int first_column = 0) {
  constexpr int kAll = Tile::kRows * Tile::kPieces;
  static_assert(kAll % kThreads == 0);
  // Fewer addresses at once where accumulators take most registers.
  [[maybe_unused]] constexpr int kAtOnce = Tile::kColumns > 128 ? 2 : 4;
  RATTN_UNROLL_BY(kAtOnce)
  for (int i = 0; i < kAll / kThreads; ++i) {
    const int piece = i * kThreads + x.thread();
    const int row = piece / Tile::kPieces;
    const int column = piece % Tile::kPieces * Tile::kPiece;
    const RowSource from = source(row);
    x.CopyAsync(tile.data, Tile::Index(row, column), view, batch, from.token,
                from.head, first_column + column, from.valid);
  }
}

// A[i][k] = tile[row + i][column + k].
template <class Exec, class Tile>
RATTN_FN FragmentA LoadA(Exec& x, const Tile& tile, int row, int column) {
  const Word4 w = x.LoadMatrix4(
      tile.data, Tile::Index(row + x.lane() % 16, column + x.lane() / 16 * 8));
  return {w.w[0], w.w[1], w.w[2], w.w[3]};
}

// A[i][k] = tile[row + k][column + i].
template <class Exec, class Tile>
RATTN_FN FragmentA LoadColumnsAsA(Exec& x, const Tile& tile, int row,
                                  int column) {
  const int lane = x.lane();
  const Word4 w = x.LoadMatrix4Transposed(
      tile.data,
      Tile::Index(row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8));
  return {w.w[0], w.w[1], w.w[2], w.w[3]};
}

// B of 16 columns, as the two fragments that one load gives.
struct FragmentB2 {
  FragmentB n[2];
};

// B[k][n] = tile[row + n][column + k].
template <class Exec, class Tile>
RATTN_FN FragmentB2 LoadRowsAsB(Exec& x, const Tile& tile, int row,
                                int column) {
  const int lane = x.lane();
  const Word4 w = x.LoadMatrix4(
      tile.data,
      Tile::Index(row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8));
  return {{{w.w[0], w.w[1]}, {w.w[2], w.w[3]}}};
}

// B[k][n] = tile[row + k][column + n].
template <class Exec, class Tile>
RATTN_FN FragmentB2 LoadColumnsAsB(Exec& x, const Tile& tile, int row,
                                   int column) {
  const Word4 w = x.LoadMatrix4Transposed(
      tile.data, Tile::Index(row + x.lane() % 16, column + x.lane() / 16 * 8));
  return {{{w.w[0], w.w[1]}, {w.w[2], w.w[3]}}};
}

// Accumulators of 16 columns as A of a next product, rounded to T.
template <typename T, class Exec>
RATTN_FN FragmentA AsA(const Exec&, const Accumulator& left,
                       const Accumulator& right) {
  return {Exec::template Pack<T>(left.c[0], left.c[1]),
          Exec::template Pack<T>(left.c[2], left.c[3]),
          Exec::template Pack<T>(right.c[0], right.c[1]),
          Exec::template Pack<T>(right.c[2], right.c[3])};
}

// c[i][n] += the product of row `row` + i of a and row n of b.
template <typename T, class Exec, class TileA, class TileB, int kCount>
RATTN_FN void AddRowProducts(Exec& x, const TileA& a, int row, const TileB& b,
                             Accumulator (&c)[kCount]) {
  static_assert(TileA::kColumns == TileB::kColumns);
  static_assert(kCount * 8 == TileB::kRows);
  // Fewer steps side by side leave registers to the accumulators.
  RATTN_UNROLL_BY(4)
  for (int d = 0; d < TileA::kColumns; d += 16) {
    const FragmentA left = LoadA(x, a, row, d);
    RATTN_UNROLL
    for (int n = 0; n < kCount * 8; n += 16) {
      const FragmentB2 right = LoadRowsAsB(x, b, n, d);
      x.template Mma<T>(left, right.n[0], &c[n / 8]);
      x.template Mma<T>(left, right.n[1], &c[n / 8 + 1]);
    }
  }
}

// c += a times rows row .. row + 15 of b.
template <typename T, class Exec, class TileB, int kCount>
RATTN_FN void AddProduct(Exec& x, const FragmentA& a, const TileB& b, int row,
                         Accumulator (&c)[kCount]) {
  static_assert(kCount * 8 == TileB::kColumns);
  RATTN_UNROLL
  for (int d = 0; d < kCount * 8; d += 16) {
    const FragmentB2 right = LoadColumnsAsB(x, b, row, d);
    x.template Mma<T>(a, right.n[0], &c[d / 8]);
    x.template Mma<T>(a, right.n[1], &c[d / 8 + 1]);
  }
}

// c += weights, rounded to T, times b.
template <typename T, class Exec, class TileB, int kKeys8, int kCount>
RATTN_FN void AddWeighted(Exec& x, const Accumulator (&weights)[kKeys8],
                          const TileB& b, Accumulator (&c)[kCount]) {
  static_assert(kKeys8 * 8 == TileB::kRows);
  RATTN_UNROLL
  for (int key = 0; key < kKeys8 * 8; key += 16) {
    const FragmentA a = AsA<T>(x, weights[key / 8], weights[key / 8 + 1]);
    AddProduct<T>(x, a, b, key, c);
  }
}

// Places of an accumulator's elements (exec.h, C).
RATTN_FN int AccumulatorRow(int lane, int half) { return lane / 4 + 8 * half; }
RATTN_FN int AccumulatorColumn(int lane) { return lane % 4 * 2; }

// Over the four lanes that share an accumulator's rows.
template <class Exec>
RATTN_FN float MaxOfRow(Exec& x, float value) {
  RATTN_UNROLL
  for (int mask = 1; mask <= 2; mask *= 2) {
    const float other = x.ShuffleXor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}
template <class Exec>
RATTN_FN float SumOfRow(Exec& x, float value) {
  RATTN_UNROLL
  for (int mask = 1; mask <= 2; mask *= 2) value += x.ShuffleXor(value, mask);
  return value;
}

}  // namespace rattn::cuda
