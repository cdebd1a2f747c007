// New tokens take their places in a cache: rows are copied from where the
// kernels read them. A thread copies a pair of columns of one token, of all
// heads and sequences.
#pragma once

#include "kernels/cuda/cached_rows.h"
#include "kernels/cuda/exec.h"

namespace rattn::cuda {

template <typename T>
struct StoreTokens {
  static constexpr const char* kName = "store_tokens";
  static constexpr int kThreads = 128, kBlocks = 4;

  // Keys, values, and keys of the memory where they are kept apart.
  struct Rows {
    GlobalView<const T> from;  // optional [B, new, Hkv, D or more]
    CachedRows<T> to;
    int64_t columns = 0;  // D
  };
  static constexpr int kTensors = 3;
  struct Params {
    Rows rows[kTensors];
    int64_t first = 0;   // position of the first new token
    int64_t oldest = 0;  // behind the sinks, only tokens from here on are kept
  };

  // Blocks along y: the tensors.
  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const Rows& rows = p.rows[x.block(1)];
    if (!rows.from) return;
    const int64_t pairs = rows.columns / 2;
    const int64_t index =
        static_cast<int64_t>(x.block(0)) * kThreads + x.thread();
    const int64_t t = index / pairs, column = index % pairs * 2;
    if (t >= rows.from.shape[1]) return;
    const int64_t token = p.first + t;
    if (token < p.oldest && token >= rows.to.sinks.shape[1]) return;
    const auto place = rows.to.Find(x, static_cast<int>(token));
    for (int64_t b = 0; b < rows.from.shape[0]; ++b) {
      for (int64_t h = 0; h < rows.from.shape[2]; ++h) {
        for (int64_t c = column; c < column + 2; ++c) {
          x.Store(place.view, b, place.slot, h, c,
                  x.Load(rows.from, b, t, h, c));
        }
      }
    }
  }
};

}  // namespace rattn::cuda
