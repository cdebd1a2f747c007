// Softmax attention of one token per sequence on a cache. The 16 rows of a
// tile are the query heads of a group, so that keys and values are read once
// for all of them; warps share the keys of a tile, blocks ("parts") the tiles.
// The parts are joined by their sums and largest scores.
//
// Traffic of a step: every visible key and value once, as it lies in the
// cache, and 2 kDim + 4 fp32 elements per part and query head.
#pragma once

#include "kernels/cuda/cached_rows.h"
#include "kernels/cuda/exec.h"
#include "kernels/cuda/key_tiles.h"
#include "kernels/cuda/online_softmax.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/staged_copies.h"
#include "kernels/cuda/tile.h"
#include "kernels/cuda/warp_sums.h"
#include "kernels/window.h"

namespace rattn::cuda {

template <typename T_, int kDim_>
struct SoftmaxDecode {
  using T = T_;
  static constexpr const char* kName = "softmax_decode";
  static constexpr int kDim = kDim_;
  static constexpr int kWarps = kDim > 128 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 64 ? 2 : 4;
  static constexpr int kRows = 16;
  static constexpr int kKeys = 16 * kWarps;
  using QTile = Tile<T, kRows, kDim>;
  using KvTile = Tile<T, kKeys, kDim>;
  using WarpTile = Tile<T, 16, kDim>;                    // of it, a warp's keys
  static constexpr int kFirstStage = 2 * QTile::kBytes;  // behind both queries
  using Stages = KeyStages<KvTile, kFirstStage>;
  static constexpr int kSharedBytes = kFirstStage + Stages::kBytes;
  static_assert(kSharedBytes <= 99 * 1024);
  // In place of the stages at the end: sums of warps, then two of each row.
  static constexpr int kWarpSums = kRows * kDim;
  static_assert((kWarps * (kWarpSums + 2 * kRows)) * 4 <= Stages::kBytes);

  struct Params {
    GlobalView<const T> q;       // [B, 1, Hq, kDim]
    GlobalView<const T> q_sink;  // optional, as sinks see it
    CacheKeys<T> k, v;           // the new token's own among them
    GlobalView<float> sums;      // [B, parts, Hq, kDim]
    GlobalView<float> rows;      // [B, parts, Hq, 2]: top score, sum of weights
    LocalSpec local;
    HeadRange heads;  // query heads of the branch
    int group = 1;    // query heads of a KV head
    int64_t query_len = 1, key_len = 0;
    float scale = 1;     // of scores; positive
    int part_tiles = 1;  // tiles of a part; no part is empty
  };

  // Blocks along x: parts, then tiles of rows.
  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const auto parts = static_cast<int>(p.sums.shape[1]);
    const QueryRows rows =
        RowsOfGroup(x.block(1), p.group, p.heads, 1, p.key_len)
            .From(static_cast<int64_t>(x.block(0) / parts) * kRows);
    if (rows.first >= rows.count) return;
    Pass<Exec> pass(x, p, rows, x.block(0) % parts);
    pass.Run();
    pass.Finish();
  }

  template <class Exec>
  class Pass {
   public:
    RATTN_FN Pass(Exec& exec, const Params& params, const QueryRows& query_rows,
                  int index)
        : x(exec),
          p(params),
          rows(query_rows),
          part(index),
          tiles(p.local, {p.key_len - 1, p.key_len}, kKeys) {}

    RATTN_FN void Run() {
      const int first = part * p.part_tiles;
      const int last = first + p.part_tiles;
      const int end = last < tiles.count ? last : tiles.count;
      LoadQueries();
      const auto load = [&](int tile) { LoadKeys(tile); };
      ForStagedTiles(x, first, end, load, [&](int tile) { AddTile(tile); });
    }

    // Warps leave what they have in place of the tiles; then every thread adds
    // up some columns.
    RATTN_FN void Finish() {
      x.Barrier();
      StoreWarp();
      x.Barrier();
      const auto count = static_cast<int>(rows.count - rows.first);
      for (int i = x.thread(); i < kRows * kDim; i += kThreads) {
        const int row = i / kDim, column = i % kDim;
        if (row < count) AddWarps(row, column);
      }
    }

   private:
    RATTN_FN QTile Queries(bool sink) const {
      return TileAt<QTile>(x, sink && p.q_sink ? QTile::kBytes : 0);
    }

    RATTN_FN void LoadQueries() {
      const auto source = [&](int row) { return rows.Source(row); };
      CopyRows<kThreads>(x, Queries(false), p.q, x.block(2), source);
      if (p.q_sink) {
        CopyRows<kThreads>(x, Queries(true), p.q_sink, x.block(2), source);
      }
    }
    RATTN_FN void LoadKeys(int tile) {
      const auto begin = static_cast<int>(tiles.Begin(tile));
      const auto end = static_cast<int>(tiles.End(tile));
      p.k.template Copy<kThreads>(x, Stages::Keys(x, tile), begin, end);
      p.v.template Copy<kThreads>(x, Stages::Values(x, tile), begin, end);
    }

    RATTN_FN void AddTile(int tile) {
      const int byte = Stages::Byte(tile) + x.warp() * WarpTile::kBytes;
      Accumulator s[2] = {};
      AddRowProducts<T>(x, Queries(tiles.IsSink(tile)), 0,
                        TileAt<WarpTile>(x, byte), s);
      const int64_t first =
          tiles.Begin(tile) + x.warp() * 16 + AccumulatorColumn(x.lane());
      const auto end = static_cast<int>(tiles.End(tile) - first);
      RATTN_UNROLL
      for (int n = 0; n < 2; ++n) {
        RATTN_UNROLL
        for (int i = 0; i < 4; ++i) {
          if (8 * n + i % 2 >= end) s[n].c[i] = kMinusInfinity;
        }
      }
      softmax.ToWeights(x, p.scale, s);
      AddWeighted<T>(x, s, TileAt<WarpTile>(x, byte + KvTile::kBytes),
                     softmax.o);
    }

    RATTN_FN Shared<float> Sums(int warp) const {
      return x.template SharedAt<float>(kFirstStage + warp * kWarpSums * 4,
                                        kWarpSums);
    }
    // Top scores of a warp's rows, then their sums.
    RATTN_FN Shared<float> Tops(int warp) const {
      const int behind = kFirstStage + kWarps * kWarpSums * 4;
      return x.template SharedAt<float>(behind + warp * 2 * kRows * 4,
                                        2 * kRows);
    }

    RATTN_FN void StoreWarp() {
      const auto sums = Sums(x.warp()), tops = Tops(x.warp());
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = AccumulatorRow(x.lane(), half);
        const float sum = SumOfRow(x, softmax.sum[half]);
        if (x.lane() % 4 == 0) {
          x.StoreShared(tops, row, softmax.top_score[half]);
          x.StoreShared(tops, kRows + row, sum);
        }
        RATTN_UNROLL
        for (int n = 0; n < kDim / 8; ++n) {
          RATTN_UNROLL
          for (int i = 0; i < 2; ++i) {
            x.StoreShared(sums,
                          row * kDim + 8 * n + AccumulatorColumn(x.lane()) + i,
                          softmax.o[n].c[2 * half + i]);
          }
        }
      }
    }

    // A part sees at least one key, some of its warps may see none.
    RATTN_FN void AddWarps(int row, int column) {
      float top = kMinusInfinity;
      for (int w = 0; w < kWarps; ++w) {
        top = Larger(top, x.LoadShared(Tops(w), row));
      }
      float sum = 0, total = 0;
      for (int w = 0; w < kWarps; ++w) {
        const float own = x.LoadShared(Tops(w), row);
        const float factor = Exec::Exp2((own - top) * p.scale * kLog2E);
        sum += factor * x.LoadShared(Sums(w), row * kDim + column);
        total += factor * x.LoadShared(Tops(w), kRows + row);
      }
      const int64_t head = rows.Head(rows.first + row);
      x.Store(p.sums, x.block(2), part, head, column, sum);
      if (column != 0) return;
      x.Store(p.rows, x.block(2), part, head, 0, top * p.scale);
      x.Store(p.rows, x.block(2), part, head, 1, total);
    }

    Exec& x;
    const Params& p;
    QueryRows rows;
    int part;
    KeyTiles tiles;
    OnlineSoftmax<kDim> softmax;
  };
};

// Parts of a row become one. A warp works on one query head of one sequence.
template <typename T>
struct SoftmaxJoin {
  static constexpr const char* kName = "softmax_join";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 8;

  struct Params {
    GlobalView<const float> sums, rows;  // as SoftmaxDecode leaves them
    GlobalView<T> o;                     // optional [B, 1, Hq, Dv]
    GlobalView<float> o_wide;            // optional [B, 1, Hq, Dv]
    GlobalView<float> lse;               // optional [B, 1, Hq, 1]
    GlobalView<float> max_logits;        // optional [B, 1, Hq, 1]
    GlobalView<const float> sink_logit;  // optional [1, 1, 1, Hq]
    HeadRange heads;                     // query heads of the branch
    int value_dim = 0;                   // Dv
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t row = static_cast<int64_t>(x.block(0)) * kWarps + x.warp();
    const int64_t b = row / p.sums.shape[2], h = row % p.sums.shape[2];
    if (b >= p.sums.shape[0] || h < p.heads.begin || h >= p.heads.end) return;
    const int64_t parts = p.sums.shape[1];
    float top = kMinusInfinity, total = 0;
    for (int64_t i = 0; i < parts; ++i) {
      top = Larger(top, x.Load(p.rows, b, i, h, 0));
    }
    for (int64_t i = 0; i < parts; ++i) {
      total += x.Load(p.rows, b, i, h, 1) * Weight(x, p, b, i, h, top);
    }
    const SoftmaxRow whole = FinishSoftmax(
        x, top, total,
        p.sink_logit ? x.Load(p.sink_logit, 0, 0, 0, h) : kMinusInfinity);
    for (int c = x.lane(); c < p.value_dim; c += kWarpSize) {
      float sum = 0;
      for (int64_t i = 0; i < parts; ++i) {
        sum += x.Load(p.sums, b, i, h, c) * Weight(x, p, b, i, h, top);
      }
      sum *= whole.factor;
      if (p.o) x.Store(p.o, b, 0, h, c, x.template Round<T>(sum));
      if (p.o_wide) x.Store(p.o_wide, b, 0, h, c, sum);
    }
    if (x.lane() != 0) return;
    if (p.lse) x.Store(p.lse, b, 0, h, 0, whole.lse);
    if (p.max_logits) x.Store(p.max_logits, b, 0, h, 0, whole.top);
  }

 private:
  template <class Exec>
  RATTN_FN static float Weight(Exec& x, const Params& p, int64_t b,
                               int64_t part, int64_t h, float top) {
    return Exec::Exp2((x.Load(p.rows, b, part, h, 0) - top) * kLog2E);
  }
};

}  // namespace rattn::cuda
