// What the CUDA kernels can do, wherever they run.
#pragma once

#include "kernels/problem.h"

namespace rattn::cuda {

Support CudaSupports(const Problem& problem);

// Scratch bytes of a pass, on any buffers.
size_t CudaForwardBytes(const Problem& problem);
size_t CudaBackwardBytes(const Problem& problem);
size_t CudaExtendBytes(const Problem& problem);  // on any cache
// Of every pass of the problem's phase.
size_t CudaWorkspaceBytes(const Problem& problem);

}  // namespace rattn::cuda
