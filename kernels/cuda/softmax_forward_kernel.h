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

#include "kernels/cuda/cached_rows.h"
#include "kernels/cuda/exec.h"
#include "kernels/cuda/key_tiles.h"
#include "kernels/cuda/online_softmax.h"
#include "kernels/cuda/packed_sequences.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/softmax_rows.h"
#include "kernels/cuda/staged_copies.h"
#include "kernels/cuda/tile.h"
#include "kernels/window.h"

namespace rattn::cuda {

template <typename T_, int kDim_, KeySource kFrom>
struct SoftmaxForward {
  using T = T_;
  using Source = KeysOf<T, kFrom>;
  static constexpr const char* kName = "softmax_forward";
  static constexpr int kDim = kDim_;
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 128 ? 1 : 2;
  static constexpr int kRows = 16 * kWarps;
  // 32 keys leave the accumulators of 256 columns enough registers.
  static constexpr int kKeys = kDim > 128 ? 32 : 64;
  using QTile = Tile<T, kRows, kDim>;
  using KvTile = Tile<T, kKeys, kDim>;
  using Stages = KeyStages<KvTile, QTile::kBytes>;
  static constexpr int kSharedBytes = QTile::kBytes + Stages::kBytes;
  static_assert(kSharedBytes <= 99 * 1024);

  // B batch, Tq/Tk lengths, Hq/Hkv heads; rows of q are padded to kDim.
  struct Params {
    GlobalView<const T> q;       // [B, Tq, Hq, kDim]
    GlobalView<const T> q_sink;  // optional, as sinks see it
    Source k, v;
    GlobalView<T> o;                     // optional [B, Tq, Hq, Dv]
    GlobalView<float> o_wide;            // optional [B, Tq, Hq, Dv]
    GlobalView<float> lse;               // optional [B, Tq, Hq, 1]
    GlobalView<float> max_logits;        // optional [B, Tq, Hq, 1]
    GlobalView<const float> sink_logit;  // optional [1, 1, 1, Hq]
    LocalSpec local;
    HeadRange heads;  // query heads of the branch
    int group = 1;    // query heads of a KV head
    int64_t query_len = 0, key_len = 0;
    PackedSequences pack;
    int value_dim = 0;  // Dv
    float scale = 1;    // of scores; positive
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const Sequence s = SequenceOfBlock(x, p);
    const QueryRows rows = RowsOf(x, p, s);
    if (rows.first >= rows.count) return;
    Pass<Exec> pass(x, p, rows);
    pass.Run();
    pass.Finish();
  }

  template <class Exec>
  RATTN_FN static Sequence SequenceOfBlock(Exec& x, const Params& p) {
    return SequenceOf(x, p.pack, {p.group, kRows}, x.block(0), p.query_len,
                      p.key_len);
  }
  // Those of the block.
  template <class Exec>
  RATTN_FN static QueryRows RowsOf(Exec& x, const Params& p,
                                   const Sequence& s) {
    return RowsOfGroup(x.block(1), p.group, p.heads, s.query_len, s.key_len,
                       s.first_token)
        .From(static_cast<int64_t>(s.piece) * kRows);
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

    // Queries as sinks see them lie where the others lie later on.
    RATTN_FN void Run() {
      if (tiles.count == 0) return;
      const bool two_queries = p.q_sink && tiles.sink_tiles > 0;
      const auto row = [&](int i) { return rows.Source(i); };
      CopyRows<kThreads>(x, Queries(), two_queries ? p.q_sink : p.q, x.block(2),
                         row);
      const auto load = [&](int tile) { LoadKeys(tile); };
      ForStagedTiles(x, 0, tiles.count, load, [&](int tile) {
        if (two_queries && tile == tiles.sink_tiles) {
          CopyRowsAtOnce<kThreads>(x, Queries(), p.q, x.block(2), row);
        }
        AddTile(tile);
      });
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float sum = SumOfRow(x, softmax.sum[half]);
        const int64_t row = rows.first + WarpRow(half);
        if (row >= rows.count) continue;
        factor[half] = FinishSoftmaxRow(x, p, rows, row, half, sum, softmax);
      }
    }

    // Of element i of output n: rows behind the last have zeros.
    RATTN_FN float Value(int n, int i) const {
      return softmax.o[n].c[i] * factor[i / 2];
    }

   private:
    RATTN_FN int WarpRow(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }
    RATTN_FN QTile Queries() const { return TileAt<QTile>(x, 0); }

    RATTN_FN void LoadKeys(int tile) {
      const auto begin = static_cast<int>(rows.first_token + tiles.Begin(tile));
      const auto end = static_cast<int>(rows.first_token + tiles.End(tile));
      p.k.template Copy<kThreads>(x, Stages::Keys(x, tile), begin, end);
      p.v.template Copy<kThreads>(x, Stages::Values(x, tile), begin, end);
    }

    RATTN_FN void AddTile(int tile) {
      Accumulator s[kKeys / 8] = {};
      AddRowProducts<T>(x, Queries(), x.warp() * 16, Stages::Keys(x, tile), s);
      if (!tiles.IsInterior(p.local, tile, positions)) {
        MaskKeys(x, tiles, p.local, tile, rows, s);
      }
      softmax.ToWeights(x, p.scale, s);
      AddWeighted<T>(x, s, Stages::Values(x, tile), softmax.o);
    }

    Exec& x;
    const Params& p;
    QueryRows rows;
    KeyRange positions;  // of the block's rows
    KeyTiles tiles;
    OnlineSoftmax<kDim> softmax;
    float factor[2] = {0, 0};  // of rows, once they are finished
  };
};

}  // namespace rattn::cuda
