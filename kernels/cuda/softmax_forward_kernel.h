// Softmax attention of the local branch, forward: full causal, window, window
// and sinks. One block computes kRows query rows of one KV head, a row being
// one token of one of its query heads, so that every tile of K and V is read
// once for the whole group. Scores and output stay in registers (online
// softmax, arXiv 2205.14135); tiles of keys are copied two deep.
//
// Traffic of a block: kRows rows of Q and O once, the keys that its rows see,
// W + kRows / group - 1 rounded out to tiles, once. Per tile and warp: 16 x
// kKeys x kDim x 2 multiply-adds on tensor cores, 16 x kKeys exponentials.
#pragma once

#include <cmath>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/key_tiles.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/tile.h"
#include "kernels/window.h"

namespace rattn::cuda {

template <typename T_, int kDim_>
struct SoftmaxForward {
  using T = T_;
  static constexpr const char* kName = "softmax_forward";
  static constexpr int kDim = kDim_;
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 128 ? 1 : kDim > 64 ? 2 : 3;
  static constexpr int kRows = 16 * kWarps;
  // 32 keys leave the accumulators of 256 columns enough registers.
  static constexpr int kKeys = kDim > 128 ? 32 : 64;
  using QTile = Tile<T, kRows, kDim>;
  using KvTile = Tile<T, kKeys, kDim>;
  static constexpr int kStages = 2;
  static constexpr int kStageBytes = 2 * KvTile::kBytes;  // K, then V
  static constexpr int SharedBytes(bool sink_query) {
    return (sink_query ? 2 : 1) * QTile::kBytes + kStages * kStageBytes;
  }

  // B batch, Tq/Tk lengths, Hq/Hkv heads; rows of q, k, v are padded to kDim.
  struct Params {
    GlobalView<const T> q;               // [B, Tq, Hq, kDim]
    GlobalView<const T> q_sink;          // optional, as sinks see it
    GlobalView<const T> k, v;            // [B, Tk, Hkv, kDim]
    GlobalView<T> o;                     // optional [B, Tq, Hq, Dv]
    GlobalView<float> o_wide;            // optional [B, Tq, Hq, Dv]
    GlobalView<float> lse;               // optional [B, Tq, Hq, 1]
    GlobalView<float> max_logits;        // optional [B, Tq, Hq, 1]
    GlobalView<const float> sink_logit;  // optional [1, 1, 1, Hq]
    LocalSpec local;
    HeadRange heads;  // query heads of the branch
    int group = 1;    // query heads of a KV head
    int64_t query_len = 0, key_len = 0;
    int value_dim = 0;  // Dv
    float scale = 1;    // of scores; positive
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const QueryRows rows =
        RowsOfGroup(x.block(1), p.group, p.heads, p.query_len, p.key_len)
            .From(static_cast<int64_t>(x.block(0)) * kRows);
    if (rows.first >= rows.count) return;
    Pass<Exec> pass(x, p, rows);
    pass.Run();
    pass.Finish();
  }

  template <class Exec>
  class Pass {
   public:
    RATTN_FN Pass(Exec& exec, const Params& params, const QueryRows& query_rows)
        : x(exec),
          p(params),
          rows(query_rows),
          positions(rows.Positions(rows.first + kRows)),
          tiles(p.local, positions, kKeys) {}

    RATTN_FN void Run() {
      if (tiles.count == 0) return;
      LoadQueries();
      LoadKeys(0);
      x.CommitCopies();
      for (int tile = 0; tile < tiles.count; ++tile) {
        // Behind the barrier this tile is there and the last one is done with.
        x.template WaitCopies<0>();
        x.Barrier();
        if (tile + 1 < tiles.count) LoadKeys(tile + 1);
        x.CommitCopies();
        Accumulator s[kKeys / 8] = {};
        AddRowProducts<T>(x, Queries(tiles.IsSink(tile)), x.warp() * 16,
                          Keys(tile), s);
        if (!tiles.IsInterior(p.local, tile, positions)) {
          MaskKeys(x, tiles, p.local, tile, rows, s);
        }
        Softmax(s);
        AddWeighted<T>(x, s, Values(tile), o);
      }
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        sum[half] = SumOfRow(x, sum[half]);
        const int64_t row = rows.first + WarpRow(half);
        if (row < rows.count) FinishRow(half, row);
      }
    }

   private:
    RATTN_FN int WarpRow(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }
    RATTN_FN QTile Queries(bool sink) const {
      const bool other = sink && p.q_sink;
      return TileAt<QTile>(x,
                           other ? QTile::kBytes + kStages * kStageBytes : 0);
    }
    RATTN_FN int StageByte(int tile) const {
      return QTile::kBytes + tile % kStages * kStageBytes;
    }
    RATTN_FN KvTile Keys(int tile) const {
      return TileAt<KvTile>(x, StageByte(tile));
    }
    RATTN_FN KvTile Values(int tile) const {
      return TileAt<KvTile>(x, StageByte(tile) + KvTile::kBytes);
    }

    RATTN_FN void LoadQueries() {
      const auto source = [&](int row) { return rows.Source(row); };
      CopyRows<kThreads>(x, Queries(false), p.q, x.block(2), source);
      if (p.q_sink && tiles.sink_tiles > 0) {
        CopyRows<kThreads>(x, Queries(true), p.q_sink, x.block(2), source);
      }
    }

    RATTN_FN void LoadKeys(int tile) {
      const auto begin = static_cast<int>(tiles.Begin(tile));
      const auto end = static_cast<int>(tiles.End(tile));
      const auto source = [&](int row) -> RowSource {
        return {begin + row, x.block(1), begin + row < end};
      };
      CopyRows<kThreads>(x, Keys(tile), p.k, x.block(2), source);
      CopyRows<kThreads>(x, Values(tile), p.v, x.block(2), source);
    }

    // Scores become weights relative to the largest score so far.
    RATTN_FN void Softmax(Accumulator (&s)[kKeys / 8]) {
      const float scale = p.scale * kLog2E;
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        float top = top_score[half];
        RATTN_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          top = Larger(top, s[n].c[2 * half]);
          top = Larger(top, s[n].c[2 * half + 1]);
        }
        top = MaxOfRow(x, top);
        const float base = top == kMinusInfinity ? 0 : top * scale;
        Rescale(half, Exec::Exp2(top_score[half] * scale - base));
        top_score[half] = top;
        RATTN_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          RATTN_UNROLL
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            s[n].c[i] = Exec::Exp2(s[n].c[i] * scale - base);
            sum[half] += s[n].c[i];
          }
        }
      }
    }

    RATTN_FN void Rescale(int half, float factor) {
      sum[half] *= factor;
      RATTN_UNROLL
      for (int n = 0; n < kDim / 8; ++n) {
        o[n].c[2 * half] *= factor;
        o[n].c[2 * half + 1] *= factor;
      }
    }

    // The sink logit joins the denominator; rows that see nothing are zeros.
    RATTN_FN void FinishRow(int half, int64_t row) {
      const int64_t token = rows.Token(row), head = rows.Head(row);
      const float sink =
          p.sink_logit ? x.Load(p.sink_logit, 0, 0, 0, head) : kMinusInfinity;
      const float own = top_score[half] * p.scale;
      const float top = Larger(own, sink);
      float factor = 0, total = 0;
      if (top != kMinusInfinity) {
        const float rescale = Exec::Exp2((own - top) * kLog2E);
        total = sum[half] * rescale + Exec::Exp2((sink - top) * kLog2E);
        factor = rescale / total;
      }
      StoreOutputRow(x, p.o, p.o_wide, {x.block(2), token, head}, p.value_dim,
                     half, factor, o);
      if (x.lane() % 4 != 0) return;
      if (p.lse) {
        const float lse = top == kMinusInfinity ? top : top + logf(total);
        x.Store(p.lse, x.block(2), token, head, 0, lse);
      }
      if (p.max_logits) x.Store(p.max_logits, x.block(2), token, head, 0, top);
    }

    RATTN_FN static float Larger(float a, float b) { return a > b ? a : b; }

    Exec& x;
    const Params& p;
    QueryRows rows;
    KeyRange positions;  // of the block's rows
    KeyTiles tiles;
    Accumulator o[kDim / 8] = {};
    float top_score[2] = {kMinusInfinity, kMinusInfinity};  // unscaled
    float sum[2] = {0, 0};  // of this lane's columns
  };
};

}  // namespace rattn::cuda
