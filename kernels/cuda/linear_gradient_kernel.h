// Gradients of features, part by part (linear_pattern.h). With X the rows' and
// Y the columns' partner in the product, dO for queries and v for keys:
//   rows are queries  dphi(q) = dO S^T + masked (dO v^T) phi(k)
//   rows are keys     dphi(k) = v R^T + masked (v dO^T) phi(q)
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/linear_pattern.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/staged_copies.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

template <typename T_, int kPart_, int kDim_, LinearRows kWhich>
struct LinearGradient {
  using T = T_;
  static constexpr const char* kName = "linear_gradient";
  static constexpr int kPart = kPart_, kDim = kDim_;  // features, padded Dv
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 64 ? 1 : 2;
  static constexpr int kRows = 16 * kWarps;
  static constexpr int kColumns = kDim > 128 ? 16 : 32;
  using RowTile = Tile<T, kRows, kDim>;
  using StateTile = Tile<T, kPart, kDim>;
  using ColumnTile = Tile<T, kColumns, kDim>;
  using FeatureTile = Tile<T, kColumns, kPart>;
  static constexpr int kStageBytes = ColumnTile::kBytes + FeatureTile::kBytes;
  static constexpr int kFirstStage = RowTile::kBytes + StateTile::kBytes;
  static constexpr int kSharedBytes = kFirstStage + kStages * kStageBytes;
  static_assert(kSharedBytes <= 99 * 1024);
  using Pattern = LinearPattern<kWhich, kRows>;

  // Queries [B, Tq, Hq, ..] and keys [B, Tk, Hkv, ..] as rows and columns, or
  // the other way round.
  struct Params {
    GlobalView<const T> rows;      // X [.., kDim]
    GlobalView<const T> columns;   // Y [.., kDim]
    GlobalView<const T> features;  // of the columns [.., padded F]
    GlobalView<const T> states;    // [B, Hs * segments, padded F, kDim]
    GlobalView<float> d_features;  // of the rows [.., padded F]
    LinearShape shape;
  };

  // Blocks along x: blocks of rows, each for every part of the features.
  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    Pass<Exec> pass(x, p);
    if (pass.IsEmpty()) return;
    pass.Run();
    pass.Finish();
  }

  template <class Exec>
  class Pass {
   public:
    RATTN_FN Pass(Exec& exec, const Params& params)
        : x(exec),
          p(params),
          parts(static_cast<int>(p.states.shape[2] / kPart)),
          first_feature(x.block(0) % parts * kPart),
          pattern(x, p.shape,
                  Pattern::SequenceOfBlock(x, p.shape, x.block(0) / parts)),
          tiles(pattern.Tiles(kColumns)) {}

    RATTN_FN bool IsEmpty() const {
      return pattern.rows.first >= pattern.rows.count;
    }

    RATTN_FN void Run() {
      LoadRows();
      if (tiles > 0) Load(0);
      x.CommitCopies();
      x.template WaitCopies<0>();
      x.Barrier();
      AddRowProducts<T>(x, Rows(), x.warp() * 16, State(), sum);
      ScaleState();
      for (int tile = 0; tile < tiles; ++tile) {
        if (tile > 0) {
          x.template WaitCopies<0>();
          x.Barrier();
        }
        if (tile + 1 < tiles) Load(tile + 1);
        x.CommitCopies();
        Accumulator s[kColumns / 8] = {};
        AddRowProducts<T>(x, Rows(), x.warp() * 16, Columns(tile), s);
        MaskColumns(x, pattern, FirstColumn(tile), s);
        AddWeighted<T>(x, s, Features(tile), sum);
      }
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const RowSource row = pattern.rows.Source(WarpRow(half));
        if (!row.valid) continue;
        StoreFeatures(half, row);
      }
    }

   private:
    RATTN_FN int WarpRow(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }
    RATTN_FN RowTile Rows() const { return TileAt<RowTile>(x, 0); }
    RATTN_FN StateTile State() const {
      return TileAt<StateTile>(x, RowTile::kBytes);
    }
    RATTN_FN int StageByte(int tile) const {
      return kFirstStage + tile % kStages * kStageBytes;
    }
    RATTN_FN ColumnTile Columns(int tile) const {
      return TileAt<ColumnTile>(x, StageByte(tile));
    }
    RATTN_FN FeatureTile Features(int tile) const {
      return TileAt<FeatureTile>(x, StageByte(tile) + ColumnTile::kBytes);
    }
    RATTN_FN int FirstColumn(int tile) const {
      return pattern.begin + tile * kColumns;
    }

    RATTN_FN void LoadRows() {
      const auto row_source = [&](int row) { return pattern.rows.Source(row); };
      const auto state_source = [&](int row) -> RowSource {
        return {pattern.state, first_feature + row, true};
      };
      CopyRows<kThreads>(x, Rows(), p.rows, x.block(2), row_source);
      CopyRows<kThreads>(x, State(), p.states, x.block(2), state_source);
    }
    RATTN_FN void Load(int tile) {
      const int first = FirstColumn(tile);
      const auto source = [&](int row) { return pattern.Column(first + row); };
      CopyRows<kThreads>(x, Columns(tile), p.columns, x.block(2), source);
      CopyRows<kThreads>(x, Features(tile), p.features, x.block(2), source,
                         first_feature);
    }

    RATTN_FN void ScaleState() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float weight =
            pattern.StateWeight(pattern.rows.first + WarpRow(half));
        RATTN_UNROLL
        for (int n = 0; n < kPart / 8; ++n) {
          sum[n].c[2 * half] *= weight;
          sum[n].c[2 * half + 1] *= weight;
        }
      }
    }

    RATTN_FN void StoreFeatures(int half, const RowSource& row) {
      RATTN_UNROLL
      for (int n = 0; n < kPart / 8; ++n) {
        RATTN_UNROLL
        for (int i = 0; i < 2; ++i) {
          const int f = first_feature + 8 * n + AccumulatorColumn(x.lane()) + i;
          x.Store(p.d_features, x.block(2), row.token, row.head, f,
                  sum[n].c[2 * half + i]);
        }
      }
    }

    Exec& x;
    const Params& p;
    int parts, first_feature;
    Pattern pattern;
    int tiles;
    Accumulator sum[kPart / 8] = {};
  };
};

}  // namespace rattn::cuda
