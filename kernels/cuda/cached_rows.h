// Rows of tokens that lie in a cache (kernels/kv_cache.h), and where the
// softmax kernels copy keys and values from.
#pragma once

#include <type_traits>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

// Keys or values of a cache: token t lies in sink t, else in the ring or in a
// page. E: T, or const T where they are only read.
template <typename E>
struct CachedRows {
  GlobalView<E> sinks;         // [B, sinks, Hkv, D]; shape 0 without
  GlobalView<E> ring;          // [B, slots, Hkv, D]; absent: pages
  GlobalView<E> page;          // [B, tokens, Hkv, D] of a page, without data
  GlobalView<E* const> pages;  // [1, 1, 1, pages] their data

  struct Place {
    GlobalView<E> view;
    int slot;
  };
  template <class Exec>
  RATTN_FN Place Find(Exec& x, int token) const {
    const int first = static_cast<int>(sinks.shape[1]);
    if (token < first) return {sinks, token};
    if (ring) return {ring, (token - first) % static_cast<int>(ring.shape[1])};
    const int tokens = static_cast<int>(page.shape[1]);
    Place place = {page, token % tokens};
    place.view.data = x.Load(pages, 0, 0, 0, token / tokens);
    return place;
  }
};

// Keys or values of a call without a cache: [B, Tk, Hkv, columns of a tile].
template <typename T>
struct GivenKeys {
  GlobalView<const T> rows;

  // Begins to copy tokens begin .. of the block's KV head and sequence; those
  // from `end` on become zeros.
  template <int kThreads, class Exec, class Tile>
  RATTN_FN void Copy(Exec& x, const Tile& tile, int begin, int end) const {
    const auto source = [&](int row) -> RowSource {
      return {begin + row, x.block(1), begin + row < end};
    };
    CopyRows<kThreads>(x, tile, rows, x.block(2), source);
  }
};

// Of a call on a cache: the tokens in it, then those that come to it.
template <typename T>
struct CacheKeys {
  CachedRows<const T> cached;
  GlobalView<const T> fresh;  // optional [B, new, Hkv, columns of a tile]
  int first_fresh = 0;        // token

  template <int kThreads, class Exec, class Tile>
  RATTN_FN void Copy(Exec& x, const Tile& tile, int begin, int end) const {
    constexpr int kAll = Tile::kRows * Tile::kPieces;
    static_assert(kAll % kThreads == 0);
    RATTN_UNROLL_BY(2)
    for (int i = 0; i < kAll / kThreads; ++i) {
      const int piece = i * kThreads + x.thread();
      const int row = piece / Tile::kPieces;
      const int column = piece % Tile::kPieces * Tile::kPiece;
      const bool valid = begin + row < end;
      const int token = valid ? begin + row : begin;
      const int at = Tile::Index(row, column);
      if (token >= first_fresh) {
        x.CopyAsync(tile.data, at, fresh, x.block(2), token - first_fresh,
                    x.block(1), column, valid);
      } else {
        const auto place = cached.Find(x, token);
        x.CopyAsync(tile.data, at, place.view, x.block(2), place.slot,
                    x.block(1), column, valid && column < place.view.shape[3]);
      }
    }
  }
};

enum class KeySource { kGiven, kCache };
template <typename T, KeySource kFrom>
using KeysOf =
    std::conditional_t<kFrom == KeySource::kGiven, GivenKeys<T>, CacheKeys<T>>;

}  // namespace rattn::cuda
