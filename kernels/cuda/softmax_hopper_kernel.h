// SoftmaxForward (softmax_forward_kernel.h) for compute capability 9.0: two
// groups of four warps multiply 64 query rows each (wgmma), a third one copies
// tiles of K and V (TMA) into a ring of stages ahead of them. While the tensor
// cores add the values of one tile, a group's scores of the next become
// weights; where one group waits, the other runs. As FlashAttention-3 (arXiv
// 2407.08608), without its named barriers that order the groups.
//
// Traffic of a block: as SoftmaxForward, with 128 rows and tiles of 128 keys.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/group_tile.h"
#include "kernels/cuda/key_tiles.h"
#include "kernels/cuda/online_softmax.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/softmax_forward_kernel.h"
#include "kernels/cuda/softmax_rows.h"
#include "kernels/cuda/stage_ring.h"
#include "kernels/cuda/tile.h"
#include "kernels/window.h"

namespace rattn::cuda {

template <typename T_, int kDim_>
struct SoftmaxHopper {
  using T = T_;
  static constexpr const char* kName = "softmax_hopper";
  static constexpr bool kSm90a = true;
  static constexpr int kDim = kDim_;
  static constexpr int kReaders = 8;  // warps with query rows
  static constexpr int kReaderThreads = kReaders * kWarpSize;
  static constexpr int kThreads = kReaderThreads + 4 * kWarpSize;
  static constexpr int kBlocks = 1;
  static constexpr int kRows = 16 * kReaders, kKeys = 128;
  static constexpr int kStages = 2;
  // Of a thread; together those that kThreads threads begin with (168 each).
  static constexpr int kReaderRegisters = 240, kCopierRegisters = 24;
  static constexpr int kReadersMeet = 1;  // a named barrier

  using QTile = PanelTile<T, kRows, kDim>;
  using KvTile = PanelTile<T, kKeys, kDim>;
  using Ring = StageRing<kStages, kReaders>;
  static constexpr int kKeysAt = QTile::kBytes;
  static constexpr int kValuesAt = kKeysAt + kStages * KvTile::kBytes;
  static constexpr int kRingsAt = kValuesAt + kStages * KvTile::kBytes;
  static constexpr int kSharedBytes = kRingsAt + 2 * Ring::kBytes;
  static_assert(kSharedBytes <= 227 * 1024);

  struct Params {
    // k and v are read through the maps of tokens.
    typename SoftmaxForward<T, kDim, KeySource::kGiven>::Params rows;
    TileMap k, v;  // boxes of kKeys tokens
  };
  template <typename Call>
  static void ForEachMap(Params& params, const Call& call) {
    call(params.k);
    call(params.v);
  }

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const auto& r = p.rows;
    const QueryRows rows =
        RowsOfGroup(x.block(1), r.group, r.heads, r.query_len, r.key_len)
            .From(static_cast<int64_t>(x.block(0)) * kRows);
    if (rows.first >= rows.count) return;
    const KeyTiles tiles(r.local, rows.Positions(rows.first + kRows), kKeys);
    if (x.thread() == 0) {
      Keys().Init(x);
      Values().Init(x);
    }
    x.FenceAsync();
    x.Barrier();
    if (x.thread() >= kReaderThreads) {
      x.template LeaveRegisters<kCopierRegisters>();
      if (x.thread() == kReaderThreads) CopyTiles(x, p, tiles);
    } else {
      x.template TakeRegisters<kReaderRegisters>();
      Pass<Exec> pass(x, r, rows, tiles);
      pass.Run();
      pass.Finish();
    }
  }

 private:
  RATTN_FN static Ring Keys() { return {kRingsAt}; }
  RATTN_FN static Ring Values() { return {kRingsAt + Ring::kBytes}; }
  RATTN_FN static KvTile KeyTile(int n) {
    return {kKeysAt + Ring::Stage(n) * KvTile::kBytes};
  }
  RATTN_FN static KvTile ValueTile(int n) {
    return {kValuesAt + Ring::Stage(n) * KvTile::kBytes};
  }

  template <class Exec>
  RATTN_FN static void CopyTiles(Exec& x, const Params& p,
                                 const KeyTiles& tiles) {
    for (int n = 0; n < tiles.count; ++n) {
      const auto begin = static_cast<int>(tiles.Begin(n));
      Fill(x, Keys(), n, KeyTile(n), p.k, begin);
      Fill(x, Values(), n, ValueTile(n), p.v, begin);
    }
  }
  template <class Exec>
  RATTN_FN static void Fill(Exec& x, const Ring& ring, int n,
                            const KvTile& tile, const TileMap& map, int begin) {
    ring.BeginFill(x, n, KvTile::kBytes);
    RATTN_UNROLL
    for (int panel = 0; panel < KvTile::kPanels; ++panel) {
      x.CopyBox(tile.PanelAt(x, panel).data, 0, map, panel * kPanelColumns,
                x.block(1), begin, x.block(2), ring.Phases(x), Ring::Stage(n));
    }
  }

  // What the readers do.
  template <class Exec>
  class Pass {
   public:
    using RowParams =
        typename SoftmaxForward<T, kDim, KeySource::kGiven>::Params;

    RATTN_FN Pass(Exec& exec, const RowParams& params,
                  const QueryRows& query_rows, const KeyTiles& key_tiles)
        : x(exec), p(params), rows(query_rows), tiles(key_tiles) {}

    // Queries as sinks see them lie where the others lie later on.
    RATTN_FN void Run() {
      if (tiles.count == 0) return;
      const bool two_queries = p.q_sink && tiles.sink_tiles > 0;
      LoadQueries(two_queries ? p.q_sink : p.q);
      Keys().WaitFull(x, 0);
      x.Pin(scores);
      x.GroupFence();
      BeginScores(0);
      x.template GroupWait<0>();
      x.Pin(scores);
      float factor[2];
      Weigh(0, factor);  // o is zero
      Pack();
      for (int n = 1; n < tiles.count; ++n) {
        if (two_queries && n == tiles.sink_tiles) {
          x.NamedBarrier(kReadersMeet, kReaderThreads);
          LoadQueries(p.q);
        }
        Values().WaitFull(x, n - 1);
        Keys().WaitFull(x, n);
        x.Pin(scores);
        x.Pin(weights);
        x.Pin(softmax.o);
        x.GroupFence();
        BeginScores(n);
        BeginValues(n - 1);
        x.template GroupWait<1>();
        x.Pin(scores);
        Weigh(n, factor);
        x.template GroupWait<0>();
        x.Pin(softmax.o);
        Values().Release(x, n - 1);
        softmax.Rescale(0, factor[0]);
        softmax.Rescale(1, factor[1]);
        Pack();
      }
      Values().WaitFull(x, tiles.count - 1);
      x.Pin(weights);
      x.Pin(softmax.o);
      x.GroupFence();
      BeginValues(tiles.count - 1);
      x.template GroupWait<0>();
      x.Pin(softmax.o);
    }

    RATTN_FN void Finish() {
      RATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float sum = SumOfRow(x, softmax.sum[half]);
        const int64_t row =
            rows.first + x.warp() * 16 + AccumulatorRow(x.lane(), half);
        if (row >= rows.count) continue;
        FinishSoftmaxRow(x, p, rows, row, half, sum, softmax);
      }
    }

   private:
    static constexpr int kSteps = kKeys / kStepOfProduct;

    RATTN_FN void LoadQueries(const GlobalView<const T>& q) {
      const QTile to = {0};
      const auto row = [&](int i) { return rows.Source(i); };
      for (int panel = 0; panel < QTile::kPanels; ++panel) {
        CopyRows<kReaderThreads>(x, to.PanelAt(x, panel), q, x.block(2), row,
                                 panel * kPanelColumns);
      }
      x.CommitCopies();
      x.template WaitCopies<0>();
      x.FenceAsync();
      x.NamedBarrier(kReadersMeet, kReaderThreads);
    }
    RATTN_FN void BeginScores(int n) {
      BeginRowProducts(x, QTile{0}, x.warp() / 4 * 64, KeyTile(n), scores);
      x.GroupCommit();
    }
    RATTN_FN void BeginValues(int n) {
      BeginWeighted(x, weights, ValueTile(n), softmax.o);
      x.GroupCommit();
    }
    // Scores of tile n, which are there, become weights.
    RATTN_FN void Weigh(int n, float (&factor)[2]) {
      Keys().Release(x, n);
      const KeyRange positions = rows.Positions(rows.first + kRows);
      if (!tiles.IsInterior(p.local, n, positions)) {
        MaskKeys(x, tiles, p.local, n, rows, scores);
      }
      softmax.ToWeights(x, p.scale, scores,
                        [&](int half, float of) { factor[half] = of; });
    }
    RATTN_FN void Pack() {
      RATTN_UNROLL
      for (int i = 0; i < kSteps; ++i) {
        weights[i] = AsA<T>(x, scores[2 * i], scores[2 * i + 1]);
      }
    }

    Exec& x;
    const RowParams& p;
    const QueryRows& rows;
    const KeyTiles& tiles;
    OnlineSoftmax<kDim> softmax;
    Accumulator scores[kKeys / 8];
    FragmentA weights[kSteps];
  };
};

}  // namespace rattn::cuda
