// Launches of a forward pass, one translation unit per element type.
#pragma once

#include <cuda_runtime.h>

#include "kernels/problem.h"

namespace rattn::cuda {

// Device pointers in `buffers` and `workspace`.
cudaError_t ForwardBf16(const Problem& problem, const Buffers& buffers,
                        Workspace workspace, cudaStream_t stream);
cudaError_t ForwardFp16(const Problem& problem, const Buffers& buffers,
                        Workspace workspace, cudaStream_t stream);

}  // namespace rattn::cuda
