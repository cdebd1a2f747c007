// The launches of a pass, one translation unit per pass and element type.
// Device pointers in `buffers` and `workspace`.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/cache_views.h"
#include "kernels/problem.h"

namespace rattn::cuda {

using PassFunction = cudaError_t(const Problem& problem, const Buffers& buffers,
                                 Workspace workspace, cudaStream_t stream);
PassFunction ForwardBf16, ForwardFp16, BackwardBf16, BackwardFp16;

using CachePassFunction = cudaError_t(const Problem& problem,
                                      const Buffers& buffers,
                                      const CacheViews& cache,
                                      Workspace workspace, cudaStream_t stream);
CachePassFunction ExtendBf16, ExtendFp16;

}  // namespace rattn::cuda
