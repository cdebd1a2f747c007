// Forward in mask form, backward, and the recurrent form on a cache. Each
// function works on one piece that owns its outputs; `scratch` has the bytes
// that the matching ...Scratch function counts.
#pragma once

#include "kernels/kv_cache.h"
#include "kernels/problem.h"
#include "kernels/reference/scratch.h"

namespace rattn::reference {

// Sequence b, KV head h.
void ForwardGroup(const Problem& problem, const Buffers& buffers, int64_t b,
                  int64_t h, Scratch scratch);
size_t ForwardScratch(const Problem& problem);

// KV head h of all sequences: norm scales and sink logits sum over them.
void BackwardHead(const Problem& problem, const Buffers& buffers, int64_t h,
                  Scratch scratch);
size_t BackwardScratch(const Problem& problem);

// Sequence b, KV head h: token by token; does not advance the cache.
void ExtendGroup(const Problem& problem, const Buffers& buffers,
                 const KvCache& cache, int64_t b, int64_t h, Scratch scratch);
size_t ExtendScratch(const Problem& problem);

}  // namespace rattn::reference
