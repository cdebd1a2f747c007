// What the CUDA kernels can do, wherever they run.
#pragma once

#include "kernels/problem.h"

namespace rattn::cuda {

Support CudaSupports(const Problem& problem);
// Of Backward; the forward pass of kTrain may be supported alone.
Support CudaSupportsBackward(const Problem& problem);

// Scratch bytes of a pass, on any buffers.
size_t CudaForwardBytes(const Problem& problem);
size_t CudaBackwardBytes(const Problem& problem);

}  // namespace rattn::cuda
