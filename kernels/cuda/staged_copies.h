// Tiles that are copied to shared memory two deep: while a block works on one,
// the next is on its way.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

inline constexpr int kStages = 2;

// Where the tiles of keys and of values lie, behind `kFirst` bytes of others.
template <class KvTile, int kFirst>
struct KeyStages {
  static constexpr int kStageBytes = 2 * KvTile::kBytes;  // K, then V
  static constexpr int kBytes = kStages * kStageBytes;

  RATTN_FN static int Byte(int tile) {
    return kFirst + tile % kStages * kStageBytes;
  }
  template <class Exec>
  RATTN_FN static KvTile Keys(Exec& x, int tile) {
    return TileAt<KvTile>(x, Byte(tile));
  }
  template <class Exec>
  RATTN_FN static KvTile Values(Exec& x, int tile) {
    return TileAt<KvTile>(x, Byte(tile) + KvTile::kBytes);
  }
};

// work(tile) for the tiles [first, end), whose copies load(tile) begins. What
// was begun before is there with the first tile.
template <class Exec, class Load, class Work>
RATTN_FN void ForStagedTiles(Exec& x, int first, int end, const Load& load,
                             const Work& work) {
  if (first < end) load(first);
  x.CommitCopies();
  for (int tile = first; tile < end; ++tile) {
    // Behind the barrier this tile is there and the last one is done with.
    x.template WaitCopies<0>();
    x.Barrier();
    if (tile + 1 < end) load(tile + 1);
    x.CommitCopies();
    work(tile);
  }
}

// As CopyRows, and every thread waits for them. What was there must be done
// with.
template <int kThreads, class Exec, class Tile, class Source>
RATTN_FN void CopyRowsAtOnce(Exec& x, const Tile& tile,
                             const GlobalView<const typename Tile::T>& view,
                             int batch, const Source& source) {
  CopyRows<kThreads>(x, tile, view, batch, source);
  x.CommitCopies();
  x.template WaitCopies<0>();
  x.Barrier();
}

}  // namespace rattn::cuda
