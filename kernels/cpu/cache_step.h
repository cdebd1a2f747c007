// The branches on a cache: new tokens attend to the resident ones, then the
// cache takes them in. Both branches read the cache as it was before the call.
#pragma once

#include "kernels/cpu/branch.h"

namespace rattn {

// For phases kExtend and kDecode, both branches.
size_t CacheStepScratchBytes(const Problem& problem);

// query_len new tokens: writes the branches' heads of `local_out` and
// `memory_out` (absent: no such branch) and max_logits, and moves the cache on.
void CacheStep(const Problem& problem, const Buffers& buffers, KvCache& cache,
               TensorView local_out, TensorView memory_out,
               Workspace workspace);

}  // namespace rattn
