// Linear attention of the memory branch, forward: o_i = phi(q_i) S plus the
// tokens that S lacks, read one by one. A block's rows read the state at the
// begin of the segment that the first of them is in (linear_states_kernel.h);
// the tokens from there to i - delay go through masked scores
// phi(q) phi(k)^T, as softmax attention without the softmax.
//
// The state enters as further tiles of "values": phi(q), in shared memory,
// times kKeys rows of S per step.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/linear_states_kernel.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

template <typename T_, int kFeatures_, int kDim_>
struct LinearForward {
  using T = T_;
  static constexpr const char* kName = "linear_forward";
  static constexpr int kFeatures = kFeatures_, kDim = kDim_;  // padded F, Dv
  // Rows and keys such that a block fits into 99 KiB of shared memory.
  static constexpr int kWarps = kFeatures > 256 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = kFeatures > 256 ? 1 : 2;
  static constexpr int kRows = 16 * kWarps;
  static constexpr int kKeys = kFeatures > 256                 ? 16
                               : kFeatures > 128 || kDim > 128 ? 32
                                                               : 64;
  using QTile = Tile<T, kRows, kFeatures>;
  using KTile = Tile<T, kKeys, kFeatures>;
  using VTile = Tile<T, kKeys, kDim>;
  static constexpr int kStages = 2;
  static constexpr int kStageBytes = KTile::kBytes + VTile::kBytes;
  static constexpr int kSharedBytes = QTile::kBytes + kStages * kStageBytes;
  static_assert(kSharedBytes <= 99 * 1024);

  struct Params {
    GlobalView<const T> phi_q;   // [B, Tq, Hq, kFeatures]
    GlobalView<const T> phi_k;   // [B, Tk, Hkv, kFeatures]
    GlobalView<const T> v;       // [B, Tk, Hkv, kDim]
    GlobalView<const T> states;  // [B, Hs * segments, kFeatures, kDim]
    GlobalView<T> o;             // optional [B, Tq, Hq, Dv]
    GlobalView<float> o_wide;    // optional [B, Tq, Hq, Dv]
    Segments segments;
    HeadRange heads;    // query heads of the branch
    int row_group = 1;  // query heads that read one state: rows of a block
    int kv_group = 1;   // query heads of a KV head
    int64_t query_len = 0, key_len = 0;
    int64_t delay = 0;  // MemoryDelay
    int value_dim = 0;  // Dv
    float scale = 1;    // of the output
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const QueryRows rows =
        RowsOfGroup(x.block(1), p.row_group, p.heads, p.query_len, p.key_len)
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
        : x(exec), p(params), rows(query_rows) {
      const KeyRange positions = rows.Positions(rows.first + kRows);
      first_read = Read(positions.begin);
      const int64_t last = p.segments.count() - 1;
      segment = first_read / p.segments.tokens;
      if (segment > last) segment = last;
      begin = static_cast<int>(segment * p.segments.tokens);
      end = static_cast<int>(Read(positions.end - 1));
      tiles =
          kStateTiles + (end > begin ? (end - begin + kKeys - 1) / kKeys : 0);
    }

    RATTN_FN void Run() {
      const auto source = [&](int row) { return rows.Source(row); };
      CopyRows<kThreads>(x, Queries(), p.phi_q, x.block(2), source);
      Load(0);
      x.CommitCopies();
      for (int tile = 0; tile < tiles; ++tile) {
        // Behind the barrier this tile is there and the last one is done with.
        x.template WaitCopies<0>();
        x.Barrier();
        if (tile + 1 < tiles) Load(tile + 1);
        x.CommitCopies();
        if (tile < kStateTiles) {
          AddState(tile);
        } else {
          AddKeys(tile);
        }
      }
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int64_t row = rows.first + WarpRow(half);
        if (row >= rows.count) continue;
        StoreOutputRow(x, p.o, p.o_wide,
                       {x.block(2), rows.Token(row), rows.Head(row)},
                       p.value_dim, half, p.scale, o);
      }
    }

   private:
    static constexpr int kStateTiles = kFeatures / kKeys;

    // Tokens that a query at `position` reads: 0 .. Read - 1.
    RATTN_FN int64_t Read(int64_t position) const {
      const int64_t read = position - p.delay + 1;
      return read > 0 ? read : 0;
    }
    RATTN_FN int WarpRow(int half) const {
      return x.warp() * 16 + AccumulatorRow(x.lane(), half);
    }
    RATTN_FN QTile Queries() const { return TileAt<QTile>(x, 0); }
    RATTN_FN int StageByte(int tile) const {
      return QTile::kBytes + tile % kStages * kStageBytes;
    }
    RATTN_FN KTile Keys(int tile) const {
      return TileAt<KTile>(x, StageByte(tile));
    }
    RATTN_FN VTile Values(int tile) const {
      return TileAt<VTile>(x, StageByte(tile) + KTile::kBytes);
    }
    RATTN_FN int FirstKey(int tile) const {
      return begin + (tile - kStateTiles) * kKeys;
    }

    RATTN_FN void Load(int tile) {
      if (tile < kStateTiles) {
        const auto state =
            static_cast<int>(x.block(1) * p.segments.count() + segment);
        const auto source = [&](int row) -> RowSource {
          return {state, tile * kKeys + row, true};
        };
        CopyRows<kThreads>(x, Values(tile), p.states, x.block(2), source);
        return;
      }
      const int first = FirstKey(tile);
      const int head = x.block(1) * p.row_group / p.kv_group;
      const auto source = [&](int row) -> RowSource {
        return {first + row, head, first + row < end};
      };
      CopyRows<kThreads>(x, Keys(tile), p.phi_k, x.block(2), source);
      CopyRows<kThreads>(x, Values(tile), p.v, x.block(2), source);
    }

    RATTN_FN void AddState(int tile) {
      const VTile s = Values(tile);
      RATTN_UNROLL_BY(1)
      for (int f = 0; f < kKeys; f += 16) {
        const FragmentA a =
            LoadA(x, Queries(), x.warp() * 16, tile * kKeys + f);
        AddProduct<T>(x, a, s, f, o);
      }
    }

    RATTN_FN void AddKeys(int tile) {
      Accumulator s[kKeys / 8] = {};
      AddRowProducts<T>(x, Queries(), x.warp() * 16, Keys(tile), s);
      // The first row of the block reads least.
      if (FirstKey(tile) + kKeys > first_read) Mask(tile, s);
      AddWeighted<T>(x, s, Values(tile), o);
    }

    RATTN_FN void Mask(int tile, Accumulator (&s)[kKeys / 8]) {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int64_t position = rows.Position(rows.first + WarpRow(half));
        const int64_t first = FirstKey(tile) + AccumulatorColumn(x.lane());
        const auto read = static_cast<int>(Read(position) - first);
        RATTN_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          RATTN_UNROLL
          for (int i = 0; i < 2; ++i) {
            if (8 * n + i >= read) s[n].c[2 * half + i] = 0;
          }
        }
      }
    }

    Exec& x;
    const Params& p;
    QueryRows rows;
    int64_t first_read;  // tokens that the block's first row reads
    int64_t segment;     // whose state is read
    int begin, end;      // keys read one by one
    int tiles;
    Accumulator o[kDim / 8] = {};
  };
};

}  // namespace rattn::cuda
