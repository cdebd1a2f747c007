// Products of features with the linear memory (linear_pattern.h):
//   rows are queries  o = phi(q) S + masked (phi(q) phi(k)^T) v   (forward)
//   rows are keys     dv = phi(k) R + masked (phi(k) phi(q)^T) dO  (backward)
// as softmax attention without the softmax. The state enters as further tiles
// of "values": features, in shared memory, times kColumns rows of it per step.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/linear_pattern.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/staged_copies.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

template <typename T_, int kFeatures_, int kDim_, LinearRows kWhich>
struct LinearRead {
  using T = T_;
  static constexpr const char* kName = "linear_read";
  static constexpr int kFeatures = kFeatures_, kDim = kDim_;  // padded F, Dv
  // Rows and columns such that a block fits into 99 KiB of shared memory.
  static constexpr int kWarps = kFeatures > 256 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kFeatures > 256 ? 1 : 2;
  static constexpr int kRows = 16 * kWarps;
  static constexpr int kColumns = kFeatures > 256                 ? 16
                                  : kFeatures > 128 || kDim > 128 ? 32
                                                                  : 64;
  using RowTile = Tile<T, kRows, kFeatures>;
  using ColumnTile = Tile<T, kColumns, kFeatures>;
  using ValueTile = Tile<T, kColumns, kDim>;
  static constexpr int kStageBytes = ColumnTile::kBytes + ValueTile::kBytes;
  static constexpr int kSharedBytes = RowTile::kBytes + kStages * kStageBytes;
  static_assert(kSharedBytes <= 99 * 1024);
  using Pattern = LinearPattern<kWhich, kRows>;

  // Queries [B, Tq, Hq, ..] and keys [B, Tk, Hkv, ..] as rows and columns, or
  // the other way round.
  struct Params {
    GlobalView<const T> rows;     // phi [.., kFeatures]
    GlobalView<const T> columns;  // phi [.., kFeatures]
    GlobalView<const T> values;   // of the columns [.., kDim]
    GlobalView<const T> states;   // [B, Hs * segments, kFeatures, kDim]
    GlobalView<T> o;              // optional, of the rows [.., Dv]
    GlobalView<float> o_wide;     // optional, of the rows [.., Dv]
    // Rows are queries and column Dv of the values is ones (Normalizer::kSum):
    // the output is divided by scale * column Dv + kNormalizerEpsilon.
    bool normalize = false;
    GlobalView<float> denominator;  // optional [B, Tq, Hq, 1]
    LinearShape shape;
    int value_dim = 0;  // Dv
    float scale = 1;    // of the output
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    Pass<Exec> pass(x, p, Pattern::SequenceOfBlock(x, p.shape, x.block(0)));
    if (pass.IsEmpty()) return;
    pass.Run();
    pass.Finish();
  }

  template <class Exec>
  class Pass {
   public:
    RATTN_FN Pass(Exec& exec, const Params& params, const Sequence& sequence)
        : x(exec),
          p(params),
          pattern(x, p.shape, sequence),
          tiles(kStateTiles + pattern.Tiles(kColumns)) {}

    RATTN_FN bool IsEmpty() const {
      return pattern.rows.first >= pattern.rows.count;
    }

    // Of the block.
    RATTN_FN const QueryRows& rows() const { return pattern.rows; }

    RATTN_FN void Run() {
      const auto source = [&](int row) { return pattern.rows.Source(row); };
      CopyRows<kThreads>(x, Rows(), p.rows, x.block(2), source);
      const auto load = [&](int tile) { Load(tile); };
      ForStagedTiles(x, 0, tiles, load, [&](int tile) {
        if (tile < kStateTiles) {
          AddState(tile);
        } else {
          AddColumns(tile);
        }
      });
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float denominator = p.normalize ? Denominator(half) : 1;
        const int64_t row = pattern.rows.first + WarpRow(half);
        if (row >= pattern.rows.count) continue;
        const OutputPlace at = {x.block(2), pattern.rows.Token(row),
                                pattern.rows.Head(row)};
        factor[half] = p.scale * pattern.StateWeight(row) / denominator;
        StoreOutputRow(x, p.o, p.o_wide, at, p.value_dim, half, factor[half],
                       o);
        if (p.denominator && x.lane() % 4 == 0) {
          x.Store(p.denominator, at.batch, at.token, at.head, 0, denominator);
        }
      }
    }

    // Of element i of output n: rows behind the last have zeros.
    RATTN_FN float Value(int n, int i) const {
      return o[n].c[i] * factor[i / 2];
    }

   private:
    static constexpr int kStateTiles = kFeatures / kColumns;

    RATTN_FN int WarpRow(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }
    RATTN_FN RowTile Rows() const { return TileAt<RowTile>(x, 0); }
    RATTN_FN int StageByte(int tile) const {
      return RowTile::kBytes + tile % kStages * kStageBytes;
    }
    RATTN_FN ColumnTile Columns(int tile) const {
      return TileAt<ColumnTile>(x, StageByte(tile));
    }
    RATTN_FN ValueTile Values(int tile) const {
      return TileAt<ValueTile>(x, StageByte(tile) + ColumnTile::kBytes);
    }
    RATTN_FN int FirstColumn(int tile) const {
      return pattern.begin + (tile - kStateTiles) * kColumns;
    }

    RATTN_FN void Load(int tile) {
      if (tile < kStateTiles) {
        const auto source = [&](int row) -> RowSource {
          return {pattern.state, tile * kColumns + row, true};
        };
        CopyRows<kThreads>(x, Values(tile), p.states, x.block(2), source);
        return;
      }
      const int first = FirstColumn(tile);
      const auto source = [&](int row) { return pattern.Column(first + row); };
      CopyRows<kThreads>(x, Columns(tile), p.columns, x.block(2), source);
      CopyRows<kThreads>(x, Values(tile), p.values, x.block(2), source);
    }

    RATTN_FN float Denominator(int half) {
      float sum = 0;
      RATTN_UNROLL
      for (int n = 0; n < kDim / 8; ++n) {
        const bool here = 8 * n + AccumulatorColumn(x.lane()) == p.value_dim;
        if (here) sum = o[n].c[2 * half];
      }
      return p.scale * SumOfRow(x, sum) +
             static_cast<float>(kNormalizerEpsilon);
    }

    RATTN_FN void AddState(int tile) {
      const ValueTile s = Values(tile);
      RATTN_UNROLL_BY(1)
      for (int f = 0; f < kColumns; f += 16) {
        const FragmentA a =
            LoadA(x, Rows(), x.warp() * 16, tile * kColumns + f);
        AddProduct<T>(x, a, s, f, o);
      }
    }

    RATTN_FN void AddColumns(int tile) {
      Accumulator s[kColumns / 8] = {};
      AddRowProducts<T>(x, Rows(), x.warp() * 16, Columns(tile), s);
      MaskColumns(x, pattern, FirstColumn(tile), s);
      AddWeighted<T>(x, s, Values(tile), o);
    }

    Exec& x;
    const Params& p;
    Pattern pattern;
    int tiles;
    Accumulator o[kDim / 8] = {};
    float factor[2] = {0, 0};  // of rows, once they are finished
  };
};

}  // namespace rattn::cuda
