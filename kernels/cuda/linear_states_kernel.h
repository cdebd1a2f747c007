// States of the linear memory at the ends of segments (linear_pattern.h). One
// kernel sums phi^T values over each segment: of its keys, phi(k)^T v, or, for
// the backward pass, of the queries that read a part of it, phi(q)^T dO. The
// others run along the segments, forward and backward, and leave the states
// rounded for the tensor cores and the last one in fp32.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/linear_pattern.h"
#include "kernels/cuda/staged_copies.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

// One block: kRows features of one segment, all columns of the values.
template <typename T_, int kDim_, LinearRows kWhich>
struct LinearSegments {
  using T = T_;
  static constexpr const char* kName = "linear_segments";
  static constexpr int kDim = kDim_;  // padded columns of v
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kDim > 128 ? 1 : 2;
  static constexpr int kRows = 16 * kWarps;
  static constexpr int kTokens = 64;  // of a tile
  using KTile = Tile<T, kTokens, kRows>;
  using VTile = Tile<T, kTokens, kDim>;
  static constexpr int kStageBytes = KTile::kBytes + VTile::kBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;

  struct Params {
    GlobalView<const T> phi;     // of keys or queries [.., padded F]
    GlobalView<const T> values;  // of the same [.., kDim]
    // [B, heads * segments, padded F, kDim]; KV heads or heads of states
    GlobalView<float> sums;
    LinearShape shape;
  };

  // Blocks along x: segments, then parts of kRows features.
  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int all = p.shape.all_segments;
    const int place = x.block(0) % all;
    const int part = x.block(0) / all * kRows;
    const Sequence s = SequenceOf(x, p.shape.pack, p.shape.SegmentCut(), place,
                                  p.shape.query_len, p.shape.key_len);
    const LinearShape shape = p.shape.Of(s);
    if (s.piece >= shape.segments.count()) return;
    const QueryRows rows = kWhich == LinearRows::kKeys
                               ? shape.Keys(x.block(1))
                               : shape.Queries(x.block(1), shape.row_group);
    const int begin = Boundary(shape, rows, s.piece);
    const int end = Boundary(shape, rows, s.piece + 1);
    Accumulator sum[kDim / 8] = {};
    const auto load = [&](int tile) {
      const auto source = [&](int row) {
        const int at = begin + tile * kTokens + row;
        RowSource from = rows.Source(at);
        from.valid = at < end;
        return from;
      };
      CopyRows<kThreads>(x, Keys(x, tile), p.phi, x.block(2), source, part);
      CopyRows<kThreads>(x, Values(x, tile), p.values, x.block(2), source);
    };
    const int tiles = end > begin ? (end - begin + kTokens - 1) / kTokens : 0;
    ForStagedTiles(x, 0, tiles, load, [&](int tile) { AddTile(x, tile, sum); });
    const int64_t at = static_cast<int64_t>(x.block(1)) * all + place;
    Store(x, p, at, part, sum);
  }

 private:
  // First row of a segment.
  RATTN_FN static int Boundary(const LinearShape& shape, const QueryRows& rows,
                               int segment) {
    const int tokens = segment * shape.segments.tokens;
    if constexpr (kWhich == LinearRows::kKeys) {
      const int all = shape.segments.end > 0 ? shape.segments.end : 0;
      return tokens < all ? tokens : all;
    }
    if (segment == 0) return 0;
    return segment < shape.segments.count()
               ? shape.FirstThatReads(rows, tokens - 1)
               : rows.count;
  }

  template <class Exec>
  RATTN_FN static KTile Keys(Exec& x, int tile) {
    return TileAt<KTile>(x, tile % kStages * kStageBytes);
  }
  template <class Exec>
  RATTN_FN static VTile Values(Exec& x, int tile) {
    return TileAt<VTile>(x, tile % kStages * kStageBytes + KTile::kBytes);
  }

  template <class Exec>
  RATTN_FN static void AddTile(Exec& x, int tile,
                               Accumulator (&sum)[kDim / 8]) {
    const KTile k = Keys(x, tile);
    const VTile v = Values(x, tile);
    RATTN_UNROLL_BY(2)
    for (int token = 0; token < kTokens; token += 16) {
      const FragmentA a = LoadColumnsAsA(x, k, token, x.warp() * 16);
      AddProduct<T>(x, a, v, token, sum);
    }
  }

  template <class Exec>
  RATTN_FN static void Store(Exec& x, const Params& p, int64_t at, int part,
                             const Accumulator (&sum)[kDim / 8]) {
    RATTN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int feature = part + x.warp() * 16 + AccumulatorRow(x.lane(), half);
      RATTN_UNROLL
      for (int n = 0; n < kDim / 8; ++n) {
        RATTN_UNROLL
        for (int i = 0; i < 2; ++i) {
          x.Store(p.sums, x.block(2), at, feature,
                  8 * n + AccumulatorColumn(x.lane()) + i,
                  sum[n].c[2 * half + i]);
        }
      }
    }
  }
};

// Where the segments of sequence block(2) of a batch or a pack lie in tensors
// of sums and states.
struct SegmentRow {
  template <class Exec>
  RATTN_FN SegmentRow(Exec& x, const LinearShape& call)
      : all(call.all_segments), batch(x.block(2)) {
    LinearShape shape = call;
    if (call.pack.offsets) {
      shape = call.Of(SequenceAt(x, call.pack, x.block(2)));
      batch = 0;
    }
    first = shape.first_segment;
    count = shape.segments.count();
  }
  RATTN_FN int64_t First(int64_t head) const { return head * all + first; }

  int64_t all, batch, first, count;
};

// A thread follows one element of the state of one head along all segments.
template <typename T>
struct LinearScan {
  static constexpr const char* kName = "linear_scan";
  static constexpr int kThreads = 128, kBlocks = 8;

  // Hs heads with a state of their own, of which group share a KV head; N
  // sequences.
  struct Params {
    GlobalView<const float> sums;           // as LinearSegments leaves them
    GlobalView<T> states;                   // [B, Hs * segments, F', kDim]
    GlobalView<const float> initial_state;  // optional [N, Hs, F, Dv]
    GlobalView<float> final_state;          // optional [N, Hs, F, Dv]
    // Optional [B, Hkv, F, 1]: column Dv of a state, before and after.
    GlobalView<const float> key_sum;
    GlobalView<float> final_key_sum;
    int64_t features = 0, value_dim = 0;  // F, Dv
    int group = 1;
    LinearShape shape;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t columns = p.states.shape[3];
    const int64_t index =
        static_cast<int64_t>(x.block(0)) * kThreads + x.thread();
    const int64_t f = index / columns, c = index % columns;
    if (f >= p.states.shape[2]) return;
    const SegmentRow row(x, p.shape);
    const int64_t b = x.block(2), h = x.block(1), kv = h / p.group;
    const bool real = f < p.features && c < p.value_dim;
    const bool sums = p.key_sum && f < p.features && c == p.value_dim;
    float state = 0;
    if (real && p.initial_state) state = x.Load(p.initial_state, b, h, f, c);
    if (sums) state = x.Load(p.key_sum, b, kv, f, 0);
    const int64_t from = row.First(kv), to = row.First(h);
    for (int64_t s = 0; s < row.count; ++s) {
      x.Store(p.states, row.batch, to + s, f, c, x.template Round<T>(state));
      state += x.Load(p.sums, row.batch, from + s, f, c);
    }
    if (real && p.final_state) x.Store(p.final_state, b, h, f, c, state);
    if (sums && h % p.group == 0) x.Store(p.final_key_sum, b, kv, f, 0, state);
  }
};

// The way back: a thread follows one element of one KV head. The state of a
// segment is what all queries that read beyond it, in all heads that share the
// KV head, and the final state's gradient send to its keys.
template <typename T>
struct LinearScanBack {
  static constexpr const char* kName = "linear_scan_back";
  static constexpr int kThreads = 128, kBlocks = 8;

  // group: heads with a state of their own per KV head.
  struct Params {
    GlobalView<const float> sums;           // [B, Hs * segments, F', kDim]
    GlobalView<T> states;                   // [B, Hkv * segments, F', kDim]
    GlobalView<const float> d_final_state;  // optional [N, Hs, F, Dv]
    GlobalView<float> d_initial_state;      // optional [N, Hs, F, Dv]
    int64_t features = 0, value_dim = 0;    // F, Dv
    int group = 1;
    LinearShape shape;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t columns = p.states.shape[3];
    const int64_t index =
        static_cast<int64_t>(x.block(0)) * kThreads + x.thread();
    const int64_t f = index / columns, c = index % columns;
    if (f >= p.states.shape[2]) return;
    const SegmentRow row(x, p.shape);
    const int64_t b = x.block(2), kv = x.block(1);
    const bool real = f < p.features && c < p.value_dim;
    const auto sum = [&](int64_t head, int64_t segment) {
      return x.Load(p.sums, row.batch, row.First(head) + segment, f, c);
    };
    float state = 0;
    for (int64_t h = kv * p.group; h < (kv + 1) * p.group; ++h) {
      float own =
          real && p.d_final_state ? x.Load(p.d_final_state, b, h, f, c) : 0;
      state += own;
      if (!real || !p.d_initial_state) continue;
      for (int64_t s = row.count - 1; s >= 0; --s) own += sum(h, s);
      x.Store(p.d_initial_state, b, h, f, c, own);
    }
    for (int64_t s = row.count - 1; s >= 0; --s) {
      x.Store(p.states, row.batch, row.First(kv) + s, f, c,
              x.template Round<T>(state));
      for (int64_t h = kv * p.group; h < (kv + 1) * p.group; ++h) {
        state += sum(h, s);
      }
    }
  }
};

}  // namespace rattn::cuda
