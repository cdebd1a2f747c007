#include "kernels/cuda/cache_views.h"

#include <algorithm>

#include "kernels/window.h"

namespace rattn::cuda {
namespace {

// [B, tokens, Hkv, dim] of a part of the cache, whose heads lie apart.
TensorView PartOf(const Problem& p, void* data, int64_t tokens, int64_t dim) {
  const Shape& s = p.shape;
  return {data,
          p.dtype,
          {s.batch, tokens, s.kv_heads, dim},
          {s.kv_heads * tokens * dim, dim, tokens * dim, 1}};
}

// `row(token)` is the address of a token's row of the first head, `pages` those
// of a growing cache.
template <typename Row>
CacheTensor TensorOf(const Problem& p, const KvCache& cache, int64_t dim,
                     void* const* pages, const Row& row) {
  CacheTensor out;
  if (cache.sinks() > 0) {
    out.sinks = PartOf(p, row(0), cache.sinks(), dim);
  }
  if (cache.ring_slots() > 0) {
    out.ring = PartOf(p, row(cache.sinks()), cache.ring_slots(), dim);
    return out;
  }
  out.page_count = CeilDiv(cache.length() + p.shape.query_len, kPageTokens);
  out.page = PartOf(p, row(0), kPageTokens, dim);
  out.pages = pages;
  return out;
}

}  // namespace

CacheViews ViewsOf(const Problem& p, const KvCache& cache) {
  CacheViews views;
  views.state = cache.state();
  views.key_sum = cache.key_sum();
  views.pending_rows = cache.pending_rows();
  views.length = cache.length();
  views.pending = cache.pending();
  views.absorb_every = cache.absorb_every();
  if (!cache.has_keys()) return views;
  views.k = TensorOf(p, cache, p.shape.head_dim, cache.KeyPages(),
                     [&](int64_t t) { return cache.Key(0, 0, t); });
  views.v = TensorOf(p, cache, p.shape.value_dim, cache.ValuePages(),
                     [&](int64_t t) { return cache.Value(0, 0, t); });
  if (cache.separate_memory_keys()) {
    views.k_memory =
        TensorOf(p, cache, p.shape.head_dim, cache.MemoryKeyPages(),
                 [&](int64_t t) { return cache.MemoryKey(0, 0, t); });
  }
  return views;
}

CacheViews LargestCache(const Problem& problem) {
  constexpr int64_t kManyTokens = int64_t{1} << 24;
  CacheViews views;
  views.length = std::max(kManyTokens, MemoryDelay(problem.spec));
  views.absorb_every = AbsorbEvery(problem);
  return views;
}

int64_t WaitingTokens(const Problem& problem, int64_t length) {
  if (!HasMemory(problem.spec)) return 0;
  return std::min(length, MemoryDelay(problem.spec));
}

void AdvanceCache(const Problem& problem, KvCache* cache) {
  const int64_t delay = MemoryDelay(problem.spec);
  const int64_t waiting = WaitingTokens(problem, cache->length());
  if (problem.shape.query_len > 1) {
    cache->SetPending(0);
  } else if (HasMemory(problem.spec) && waiting == delay) {
    const int64_t pending = cache->pending() + 1;
    cache->SetPending(pending < cache->absorb_every() ? pending : 0);
  }
  cache->Advance(problem.shape.query_len);
}

}  // namespace rattn::cuda
