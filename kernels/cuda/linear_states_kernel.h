// States of the linear memory. The tokens that anybody reads, 0..E-1 with
// E = Tk - delay, are cut into segments; one kernel sums phi(k)^T v over each
// segment, another runs along the segments and leaves the state at the begin
// of each, rounded for the tensor cores, and the last one in fp32.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

// Segments of the tokens [0, end); at least one, which may be empty.
struct Segments {
  int64_t tokens = 1;  // of a segment
  int64_t end = 0;     // E
  constexpr int64_t count() const {
    return end > 0 ? (end + tokens - 1) / tokens : 1;
  }
};

// One block: kRows features of one segment and KV head, all columns of v.
template <typename T_, int kDim_>
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
  static constexpr int kStages = 2;
  static constexpr int kStageBytes = KTile::kBytes + VTile::kBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;

  struct Params {
    GlobalView<const T> phi;  // [B, Tk, Hkv, padded F]
    GlobalView<const T> v;    // [B, Tk, Hkv, kDim]
    GlobalView<float> sums;   // [B, Hkv * segments, padded F, kDim]
    Segments segments;
  };

  // Blocks along x: segments, then parts of kRows features.
  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const auto segments = static_cast<int>(p.segments.count());
    const int segment = x.block(0) % segments;
    const int part = x.block(0) / segments * kRows;
    const auto begin = static_cast<int>(segment * p.segments.tokens);
    const int64_t all = begin + p.segments.tokens;
    const auto end =
        static_cast<int>(all < p.segments.end ? all : p.segments.end);
    Accumulator sum[kDim / 8] = {};
    const auto load = [&](int tile) {
      const auto source = [&](int row) -> RowSource {
        const int token = begin + tile * kTokens + row;
        return {token, x.block(1), token < end};
      };
      CopyRows<kThreads>(x, Keys(x, tile), p.phi, x.block(2), source, part);
      CopyRows<kThreads>(x, Values(x, tile), p.v, x.block(2), source);
    };
    const int tiles = end > begin ? (end - begin + kTokens - 1) / kTokens : 0;
    if (tiles > 0) load(0);
    x.CommitCopies();
    for (int tile = 0; tile < tiles; ++tile) {
      x.template WaitCopies<0>();
      x.Barrier();
      if (tile + 1 < tiles) load(tile + 1);
      x.CommitCopies();
      AddTile(x, tile, sum);
    }
    const int64_t at = static_cast<int64_t>(x.block(1)) * segments + segment;
    Store(x, p, at, part, sum);
  }

 private:
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

// A thread follows one element of the state of one head along all segments.
template <typename T>
struct LinearScan {
  static constexpr const char* kName = "linear_scan";
  static constexpr int kThreads = 128, kBlocks = 8;

  // Hs heads with a state of their own, of which group share a KV head.
  struct Params {
    GlobalView<const float> sums;           // as LinearSegments leaves them
    GlobalView<T> states;                   // [B, Hs * segments, F', kDim]
    GlobalView<const float> initial_state;  // optional [B, Hs, F, Dv]
    GlobalView<float> final_state;          // optional [B, Hs, F, Dv]
    int64_t features = 0, value_dim = 0;    // F, Dv
    int group = 1;
    int64_t segments = 1;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t columns = p.states.shape[3];
    const int64_t index =
        static_cast<int64_t>(x.block(0)) * kThreads + x.thread();
    const int64_t f = index / columns, c = index % columns;
    if (f >= p.states.shape[2]) return;
    const int64_t b = x.block(2), h = x.block(1);
    const bool real = f < p.features && c < p.value_dim;
    float state =
        real && p.initial_state ? x.Load(p.initial_state, b, h, f, c) : 0;
    const int64_t from = h / p.group * p.segments, to = h * p.segments;
    for (int64_t s = 0; s < p.segments; ++s) {
      x.Store(p.states, b, to + s, f, c, x.template Round<T>(state));
      state += x.Load(p.sums, b, from + s, f, c);
    }
    if (real && p.final_state) x.Store(p.final_state, b, h, f, c, state);
  }
};

}  // namespace rattn::cuda
