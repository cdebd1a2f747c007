// Which keys a block of query rows of the local branch reads, tile by tile.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/tile.h"
#include "kernels/window.h"

namespace rattn::cuda {

// Tiles of keys that a block walks over: first those of the sinks, then those
// of the window. `queries`: positions of its rows, last exclusive.
struct KeyTiles {
  constexpr KeyTiles(const LocalSpec& local, KeyRange queries, int tile_keys)
      : keys(tile_keys) {
    const KeyRange seen =
        BlockWindowRange(queries.begin, queries.end, LocalWindow(local));
    const int64_t end = seen.end > 0 ? seen.end : 0;
    const int64_t first = SinkCount(local) < end ? SinkCount(local) : end;
    const KeyRange window = {seen.begin > first ? seen.begin : first, end};
    sinks = static_cast<int>(first);
    window_begin = static_cast<int>(window.begin);
    window_end = static_cast<int>(window.end);
    sink_tiles = (sinks + keys - 1) / keys;
    count = sink_tiles + static_cast<int>((window.size() + keys - 1) / keys);
  }
  RATTN_FN bool IsSink(int tile) const { return tile < sink_tiles; }
  RATTN_FN int64_t Begin(int tile) const {
    return IsSink(tile) ? tile * keys
                        : window_begin + (tile - sink_tiles) * keys;
  }
  // Exclusive end of the keys that may be read in this part.
  RATTN_FN int64_t End(int tile) const {
    return IsSink(tile) ? sinks : window_end;
  }
  // Keys of the tile's part that a query at `position` sees.
  RATTN_FN KeyRange Visible(const LocalSpec& local, int tile,
                            int64_t position) const {
    if (IsSink(tile)) {
      return {0, sinks < position + 1 ? sinks : position + 1};
    }
    const KeyRange seen = WindowRange(position, LocalWindow(local));
    return {seen.begin > window_begin ? seen.begin : window_begin, seen.end};
  }
  // Whether queries at all these positions see every key of the tile.
  RATTN_FN bool IsInterior(const LocalSpec& local, int tile,
                           const KeyRange& positions) const {
    const int64_t begin = Begin(tile);
    const KeyRange first = Visible(local, tile, positions.begin);
    const KeyRange last = Visible(local, tile, positions.end - 1);
    return begin >= last.begin && begin + keys <= first.end;
  }

  int keys;
  int sinks, window_begin, window_end;
  int sink_tiles, count;
};

// Scores of keys that a row does not see become minus infinity. `s`: 16 rows
// of this warp (rows.first + 16 * warp on) times the keys of the tile.
template <class Exec, int kCount>
RATTN_FN void MaskKeys(Exec& x, const KeyTiles& tiles, const LocalSpec& local,
                       int tile, const QueryRows& rows,
                       Accumulator (&s)[kCount]) {
  RATTN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = x.warp() * 16 + AccumulatorRow(x.lane(), half);
    const KeyRange seen =
        tiles.Visible(local, tile, rows.Position(rows.first + row));
    const int64_t first = tiles.Begin(tile) + AccumulatorColumn(x.lane());
    const auto begin = static_cast<int>(seen.begin - first);
    const auto end = static_cast<int>(seen.end - first);
    RATTN_UNROLL
    for (int n = 0; n < kCount; ++n) {
      RATTN_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int key = 8 * n + i;
        if (key < begin || key >= end) s[n].c[2 * half + i] = kMinusInfinity;
      }
    }
  }
}

}  // namespace rattn::cuda
