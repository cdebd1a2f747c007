// Linear attention as one would write it with LibTorch's operators: chunkwise,
// every step a matrix product over all heads and chunks. The baseline for
// mixers with a memory, which no operator of LibTorch computes.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/problem.h"

namespace rattn {

// phi of the last axis.
at::Tensor MapFeatures(FeatureMap map, const at::Tensor& x);

// Empty if ChunkwiseMemory can compute the memory branch of the problem.
Support SupportsChunkwiseMemory(const Problem& problem);

// q [B, Hq, T, D], k [B, Hkv, T, D], v [B, Hkv, T, Dv] of one dtype;
// initial_state fp32 [B, Hkv, F, Dv] or undefined. Returns what the queries
// read, [B, Hq, T, Dv] in the dtype of q; `final_state`, if given, receives the
// state after the last token that is read, fp32.
at::Tensor ChunkwiseMemory(const Problem& problem, const at::Tensor& q,
                           const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& initial_state,
                           at::Tensor* final_state);

// Sum of the branches, or of their RMS norms per head; norms [Hq, Dv] or
// undefined. Either branch may be undefined, too.
at::Tensor CombineBranches(const Problem& problem, const at::Tensor& local,
                           const at::Tensor& memory,
                           const at::Tensor& norm_local,
                           const at::Tensor& norm_memory);

}  // namespace rattn
