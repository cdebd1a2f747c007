// A KvCache as the CUDA kernels see it: addresses, wherever they lie.
#pragma once

#include <cstdint>

#include "kernels/cuda/cached_rows.h"
#include "kernels/cuda/views.h"
#include "kernels/kv_cache.h"
#include "kernels/problem.h"

namespace rattn::cuda {

// Keys or values, dtype of the problem. Without sinks, ring or pages: absent.
struct CacheTensor {
  TensorView sinks;  // [B, sinks, Hkv, D]
  TensorView ring;   // [B, slots, Hkv, D]
  TensorView page;   // [B, tokens of a page, Hkv, D] of the first page
  // Of a growing cache: its pages, all strided as the first one. The kernels
  // read the list, too.
  void* const* pages = nullptr;
  int64_t page_count = 0;
};

struct CacheViews {
  CacheTensor k, v;
  CacheTensor k_memory;                     // absent: not kept apart
  TensorView state, key_sum, pending_rows;  // as in KvCache
  int64_t length = 0;                       // tokens before the call
  int64_t pending = 0;
  int64_t absorb_every = 1;
};

// Of a cache with room for the problem's new tokens.
CacheViews ViewsOf(const Problem& problem, const KvCache& cache);
// A cache for which a call needs as much workspace as for any other.
CacheViews LargestCache(const Problem& problem);
// What a call has changed beside the cache's memory.
void AdvanceCache(const Problem& problem, KvCache* cache);

// Tokens at the front of the cache's that the memory has yet to take in.
int64_t WaitingTokens(const Problem& problem, int64_t length);

template <typename E>
CachedRows<E> RowsOf(const CacheTensor& tensor) {
  CachedRows<E> rows;
  rows.sinks = ViewOf<E>(tensor.sinks);
  rows.ring = ViewOf<E>(tensor.ring);
  rows.page = ViewOf<E>(tensor.page);
  rows.pages.data = reinterpret_cast<E* const*>(tensor.pages);
  for (int64_t& size : rows.pages.shape) size = 1;
  rows.pages.shape[3] = tensor.page_count;
  rows.pages.stride[3] = 1;
  return rows;
}

// Calls visit(view, at, count) for the runs of the tokens [first, first +
// count) of sinks and ring: the tokens first + at .. lie one behind the other.
template <typename Visit>
void ForEachRun(const CacheTensor& rows, int64_t first, int64_t count,
                const Visit& visit) {
  if (!rows.ring) return;
  const int64_t sinks = rows.sinks ? rows.sinks.shape[1] : 0;
  for (int64_t at = 0; at < count;) {
    const bool sink = first + at < sinks;
    const TensorView& view = sink ? rows.sinks : rows.ring;
    const int64_t slot =
        sink ? first + at : (first + at - sinks) % view.shape[1];
    const int64_t run = std::min(count - at, view.shape[1] - slot);
    TensorView part = view;
    part.shape[1] = run;
    part.data =
        static_cast<std::byte*>(part.data) +
        slot * view.stride[1] * static_cast<int64_t>(ByteSize(view.dtype));
    visit(part, at, run);
    at += run;
  }
}

}  // namespace rattn::cuda
