// Softmax attention of the local branch, backward. Weights are computed again
// from the kept log-sum-exp: P = exp(scale S - lse). With dP = dO V^T and
// delta = dO . O,  dS = P (dP - delta):
//   SoftmaxBackwardQ  dQ = scale dS K            a block: query rows of a group
//   SoftmaxBackwardK  dV = P^T dO, dK = scale dS^T Q      a block: keys
// Both hold their sums in registers and write each element once, in fp32, so
// results do not depend on the order of blocks. The second works on transposed
// scores S^T = K Q^T, whose accumulators are the left factor of its products.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/key_tiles.h"
#include "kernels/cuda/packed_sequences.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/staged_copies.h"
#include "kernels/cuda/tile.h"
#include "kernels/window.h"

namespace rattn::cuda {

// Inputs of both kernels; shapes as SoftmaxForward::Params.
template <typename T>
struct SoftmaxGradients {
  GlobalView<const T> q, q_sink, k, v;  // q_sink optional
  GlobalView<const T> d_o;              // [B, Tq, Hq, kDim]
  GlobalView<const float> lse, delta;   // [B, Tq, Hq, 1]
  GlobalView<float> dq;                 // [B, Tq, Hq, kDim]
  GlobalView<float> dq_sink;            // with q_sink
  GlobalView<float> dk, dv;             // [B, Tk, Hkv, kDim]
  LocalSpec local;
  HeadRange heads;
  int group = 1;
  int64_t query_len = 0, key_len = 0;
  PackedSequences pack;
  float scale = 1;
};

// lse of a row in powers of two; rows without weights get infinity.
template <class Exec>
RATTN_FN float LseOfRow(Exec& x, const GlobalView<const float>& view,
                        const RowSource& row) {
  if (!row.valid) return -kMinusInfinity;
  const float lse = x.Load(view, x.block(2), row.token, row.head, 0);
  return lse == kMinusInfinity ? -kMinusInfinity : lse * kLog2E;
}
template <class Exec>
RATTN_FN float ValueOfRow(Exec& x, const GlobalView<const float>& view,
                          const RowSource& row) {
  return row.valid ? x.Load(view, x.block(2), row.token, row.head, 0) : 0;
}

// fp32 rows of accumulators, all padded columns.
template <class Exec, int kCount>
RATTN_FN void StoreWideRow(Exec& x, const GlobalView<float>& out,
                           const OutputPlace& at, int half, float factor,
                           const Accumulator (&sum)[kCount]) {
  StoreOutputRow(x, GlobalView<float>(), out, at, kCount * 8, half, factor,
                 sum);
}

template <typename T_, int kDim_>
struct SoftmaxBackwardQ {
  using T = T_;
  static constexpr const char* kName = "softmax_backward_q";
  static constexpr int kDim = kDim_;
  static constexpr int kWarps = kDim > 128 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 64 ? 1 : 2;
  static constexpr int kRows = 16 * kWarps;
  static constexpr int kKeys = kDim > 64 ? 32 : 64;
  using QTile = Tile<T, kRows, kDim>;
  using KvTile = Tile<T, kKeys, kDim>;
  using Stages = KeyStages<KvTile, 2 * QTile::kBytes>;  // behind Q and dO
  static constexpr int kSharedBytes = 2 * QTile::kBytes + Stages::kBytes;
  static_assert(kSharedBytes <= 99 * 1024);
  using Params = SoftmaxGradients<T>;

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const Sequence s = SequenceOf(x, p.pack, {p.group, kRows}, x.block(0),
                                  p.query_len, p.key_len);
    const QueryRows rows = RowsOfGroup(x.block(1), p.group, p.heads,
                                       s.query_len, s.key_len, s.first_token)
                               .From(static_cast<int64_t>(s.piece) * kRows);
    if (rows.first >= rows.count) return;
    Pass<Exec> pass(x, p, rows);
    pass.Run();
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

    // The gradient through the queries that sinks see, if there are such,
    // then the other; the two kinds of queries lie at one place.
    RATTN_FN void Run() {
      const bool two_queries = p.q_sink && tiles.sink_tiles > 0;
      LoadRows(two_queries ? p.q_sink : p.q);
      int tile = 0;
      RATTN_UNROLL_BY(1)
      for (int part = p.q_sink ? 0 : 1; part < 2; ++part) {
        const int end = part == 0 ? tiles.sink_tiles : tiles.count;
        for (; tile < end; ++tile) {
          x.template WaitCopies<0>();
          x.Barrier();
          if (two_queries && tile == tiles.sink_tiles) {
            CopyRowsAtOnce<kThreads>(x, Queries(), p.q, x.block(2), Rows());
          }
          if (tile + 1 < tiles.count) LoadKeys(tile + 1);
          x.CommitCopies();
          AddTile(tile);
        }
        Flush(part == 0 ? p.dq_sink : p.dq);
      }
    }

   private:
    RATTN_FN QTile Queries() const { return TileAt<QTile>(x, 0); }
    RATTN_FN QTile Gradients() const { return TileAt<QTile>(x, QTile::kBytes); }
    RATTN_FN int WarpRow(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }

    RATTN_FN auto Rows() const {
      return [this](int row) { return rows.Source(row); };
    }

    RATTN_FN void LoadRows(const GlobalView<const T>& queries) {
      if (tiles.count == 0) return;
      CopyRows<kThreads>(x, Queries(), queries, x.block(2), Rows());
      CopyRows<kThreads>(x, Gradients(), p.d_o, x.block(2), Rows());
      LoadKeys(0);
      x.CommitCopies();
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const RowSource row = rows.Source(WarpRow(half));
        lse[half] = LseOfRow(x, p.lse, row);
        delta[half] = ValueOfRow(x, p.delta, row);
      }
    }

    RATTN_FN void LoadKeys(int tile) {
      const auto begin = static_cast<int>(rows.first_token + tiles.Begin(tile));
      const auto end = static_cast<int>(rows.first_token + tiles.End(tile));
      const auto source = [&](int row) -> RowSource {
        return {begin + row, x.block(1), begin + row < end};
      };
      CopyRows<kThreads>(x, Stages::Keys(x, tile), p.k, x.block(2), source);
      CopyRows<kThreads>(x, Stages::Values(x, tile), p.v, x.block(2), source);
    }

    RATTN_FN void AddTile(int tile) {
      Accumulator s[kKeys / 8] = {}, d_p[kKeys / 8] = {};
      const int row = x.warp() * 16;
      AddRowProducts<T>(x, Queries(), row, Stages::Keys(x, tile), s);
      if (!tiles.IsInterior(p.local, tile, positions)) {
        MaskKeys(x, tiles, p.local, tile, rows, s);
      }
      AddRowProducts<T>(x, Gradients(), row, Stages::Values(x, tile), d_p);
      const float scale = p.scale * kLog2E;
      RATTN_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        RATTN_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float weight = Exec::Exp2(s[n].c[i] * scale - lse[i / 2]);
          s[n].c[i] = weight * (d_p[n].c[i] - delta[i / 2]);
        }
      }
      AddWeighted<T>(x, s, Stages::Keys(x, tile), dq);
    }

    // Stores the sum so far and begins a new one.
    RATTN_FN void Flush(const GlobalView<float>& out) {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const RowSource row = rows.Source(WarpRow(half));
        if (!row.valid) continue;
        StoreWideRow(x, out, {x.block(2), row.token, row.head}, half, p.scale,
                     dq);
      }
      RATTN_UNROLL
      for (int n = 0; n < kDim / 8; ++n) dq[n] = {};
    }

    Exec& x;
    const Params& p;
    QueryRows rows;
    KeyRange positions;  // of the block's rows
    KeyTiles tiles;
    Accumulator dq[kDim / 8] = {};
    float lse[2] = {}, delta[2] = {};
  };
};

// kBoth where the registers hold the sums of dK and dV, else a launch for each.
enum class KeyGradients { kBoth, kKeysOnly, kValuesOnly };

template <typename T_, int kDim_, KeyGradients kWhich>
struct SoftmaxBackwardK {
  using T = T_;
  static constexpr const char* kName = "softmax_backward_k";
  static constexpr int kDim = kDim_;
  static constexpr bool kWantK = kWhich != KeyGradients::kValuesOnly;
  static constexpr bool kWantV = kWhich != KeyGradients::kKeysOnly;
  static constexpr int kWarps = kDim > 128 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 64 ? 1 : 2;
  static constexpr int kKeys = 16 * kWarps;
  static constexpr int kRows = 32;  // query rows of a tile
  using KvTile = Tile<T, kKeys, kDim>;
  using QTile = Tile<T, kRows, kDim>;
  // Q, dO, then lse, delta and position of their rows.
  static constexpr int kRowBytes = kRows * static_cast<int>(sizeof(float));
  static constexpr int kStageBytes = 2 * QTile::kBytes + 3 * kRowBytes;
  static constexpr int kFirstStage = 2 * KvTile::kBytes;  // behind K and V
  static constexpr int kSharedBytes = kFirstStage + kStages * kStageBytes;
  static_assert(kSharedBytes <= 99 * 1024);
  using Params = SoftmaxGradients<T>;

  // Key blocks along x: those of the sinks, whose queries may be rotated in
  // another way, then the others.
  static constexpr int64_t Blocks(int64_t sinks, int64_t key_len) {
    return (sinks + kKeys - 1) / kKeys + (key_len - sinks + kKeys - 1) / kKeys;
  }
  // Of sequences of at most `key_len` tokens.
  static constexpr Cut CutOf(const LocalSpec& local, int64_t key_len) {
    const int64_t sinks =
        SinkCount(local) < key_len ? SinkCount(local) : key_len;
    return {1, kKeys, 1 + static_cast<int>((sinks + kKeys - 1) / kKeys)};
  }

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const Sequence s = SequenceOf(x, p.pack, CutOf(p.local, p.key_len),
                                  x.block(0), p.query_len, p.key_len);
    Pass<Exec> pass(x, p, s);
    if (pass.IsEmpty()) return;
    pass.Run();
    pass.Finish();
  }

  template <class Exec>
  class Pass {
   public:
    RATTN_FN Pass(Exec& exec, const Params& params, const Sequence& s)
        : x(exec),
          p(params),
          rows(RowsOfGroup(x.block(1), p.group, p.heads, s.query_len, s.key_len,
                           s.first_token)) {
      int64_t sinks = SinkCount(p.local);
      if (sinks > s.key_len) sinks = s.key_len;
      const int64_t blocks = (sinks + kKeys - 1) / kKeys;
      sink = s.piece < blocks;
      const int64_t first =
          sink ? s.piece * kKeys : sinks + (s.piece - blocks) * kKeys;
      const int64_t limit = sink ? sinks : s.key_len, end = first + kKeys;
      key_begin = static_cast<int>(first);
      key_end = static_cast<int>(end < limit ? end : limit);
      // Queries that see any of them, as rows.
      const int64_t window = sink ? s.key_len : LocalWindow(p.local);
      row_begin = RowAt(SeenByRange(key_begin, window, s.key_len).begin);
      row_end = RowAt(SeenByRange(key_end - 1, window, s.key_len).end);
      count =
          row_end > row_begin ? (row_end - row_begin + kRows - 1) / kRows : 0;
    }

    // A block of a pack that has none left.
    RATTN_FN bool IsEmpty() const { return key_begin >= key_end; }

    RATTN_FN void Run() {
      if (count == 0) return;
      const auto source = [&](int row) -> RowSource {
        const int key = key_begin + row;
        return {rows.first_token + key, x.block(1), key < key_end};
      };
      CopyRows<kThreads>(x, Keys(), p.k, x.block(2), source);
      CopyRows<kThreads>(x, Values(), p.v, x.block(2), source);
      const auto load = [&](int tile) { LoadRows(tile); };
      ForStagedTiles(x, 0, count, load, [&](int tile) { AddTile(tile); });
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int key = key_begin + WarpKey(half);
        if (key >= key_end) continue;
        const OutputPlace at = {x.block(2), rows.first_token + key, x.block(1)};
        if constexpr (kWantK) StoreWideRow(x, p.dk, at, half, p.scale, dk);
        if constexpr (kWantV) StoreWideRow(x, p.dv, at, half, 1, dv);
      }
    }

   private:
    // First row of the query at `position`, within the sequence.
    RATTN_FN int RowAt(int64_t position) const {
      const int64_t token = position - rows.offset;
      const int64_t row = (token > 0 ? token : 0) * rows.heads;
      return row < rows.count ? static_cast<int>(row) : rows.count;
    }
    RATTN_FN int WarpKey(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }
    RATTN_FN KvTile Keys() const { return TileAt<KvTile>(x, 0); }
    RATTN_FN KvTile Values() const { return TileAt<KvTile>(x, KvTile::kBytes); }
    RATTN_FN int StageByte(int tile) const {
      return kFirstStage + tile % kStages * kStageBytes;
    }
    RATTN_FN QTile Queries(int tile) const {
      return TileAt<QTile>(x, StageByte(tile));
    }
    RATTN_FN QTile Gradients(int tile) const {
      return TileAt<QTile>(x, StageByte(tile) + QTile::kBytes);
    }
    // Of the rows of a tile: 0 lse, 1 delta (float), 2 position (int).
    template <typename Value>
    RATTN_FN Shared<Value> RowValues(int tile, int which) const {
      return x.template SharedAt<Value>(
          StageByte(tile) + 2 * QTile::kBytes + which * kRowBytes, kRows);
    }
    RATTN_FN RowSource SourceOf(int tile, int row) const {
      const int at = row_begin + tile * kRows + row;
      return {static_cast<int>(rows.Token(at)), static_cast<int>(rows.Head(at)),
              at < row_end};
    }

    RATTN_FN void LoadRows(int tile) {
      const auto source = [&](int row) { return SourceOf(tile, row); };
      const auto& q = sink && p.q_sink ? p.q_sink : p.q;
      CopyRows<kThreads>(x, Queries(tile), q, x.block(2), source);
      CopyRows<kThreads>(x, Gradients(tile), p.d_o, x.block(2), source);
      if (x.thread() >= kRows) return;
      const RowSource row = SourceOf(tile, x.thread());
      x.StoreShared(RowValues<float>(tile, 0), x.thread(),
                    LseOfRow(x, p.lse, row));
      x.StoreShared(RowValues<float>(tile, 1), x.thread(),
                    ValueOfRow(x, p.delta, row));
      x.StoreShared(
          RowValues<int>(tile, 2), x.thread(),
          static_cast<int>(row.token - rows.first_token + rows.offset));
    }

    RATTN_FN void AddTile(int tile) {
      Accumulator s[kRows / 8] = {};
      AddRowProducts<T>(x, Keys(), x.warp() * 16, Queries(tile), s);
      if (!IsInterior(tile)) Mask(tile, s);
      const float scale = p.scale * kLog2E;
      ForEach<float>(tile, 0, [&](int n, int i, float lse) {
        s[n].c[i] = Exec::Exp2(s[n].c[i] * scale - lse);
      });
      if constexpr (kWantV) AddWeighted<T>(x, s, Gradients(tile), dv);
      if constexpr (kWantK) {
        Accumulator d_p[kRows / 8] = {};
        AddRowProducts<T>(x, Values(), x.warp() * 16, Gradients(tile), d_p);
        ForEach<float>(tile, 1, [&](int n, int i, float delta) {
          s[n].c[i] *= d_p[n].c[i] - delta;
        });
        AddWeighted<T>(x, s, Queries(tile), dk);
      }
    }

    // Calls visit(n, i, value) for this lane's elements, columns being rows of
    // the tile, with their RowValues.
    template <typename Value, class Visit>
    RATTN_FN void ForEach(int tile, int which, const Visit& visit) {
      RATTN_UNROLL
      for (int n = 0; n < kRows / 8; ++n) {
        RATTN_UNROLL
        for (int j = 0; j < 2; ++j) {
          const int row = 8 * n + AccumulatorColumn(x.lane()) + j;
          const Value value = x.LoadShared(RowValues<Value>(tile, which), row);
          visit(n, j, value);
          visit(n, 2 + j, value);
        }
      }
    }

    // Keys that a query at `position` sees, of those that the block may have.
    RATTN_FN KeyRange Visible(int64_t position) const {
      return WindowRange(position,
                         sink ? kUnboundedWindow : LocalWindow(p.local));
    }
    // Whether all rows of the tile see all keys of the block.
    RATTN_FN bool IsInterior(int tile) const {
      const int first = row_begin + tile * kRows, last = first + kRows - 1;
      if (last >= row_end) return false;
      return Visible(rows.Position(first)).end >= key_begin + kKeys &&
             Visible(rows.Position(last)).begin <= key_begin;
    }
    RATTN_FN void Mask(int tile, Accumulator (&s)[kRows / 8]) {
      ForEach<int>(tile, 2, [&](int n, int i, int position) {
        const int64_t key = key_begin + WarpKey(i / 2);
        const KeyRange seen = Visible(position);
        if (key < seen.begin || key >= seen.end) s[n].c[i] = kMinusInfinity;
      });
    }

    Exec& x;
    const Params& p;
    QueryRows rows;  // of the group
    bool sink;
    int key_begin, key_end;  // of the block
    int row_begin, row_end;  // that see some of them
    int count;               // tiles of rows
    Accumulator dk[kWantK ? kDim / 8 : 1] = {};
    Accumulator dv[kWantV ? kDim / 8 : 1] = {};
  };
};

}  // namespace rattn::cuda
