// Kernels for compute capability 9.0 exactly (kSm90a, launch.h): compiled for
// sm_90a alone, by the files of sm90a/.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

// The function to launch; instantiated in sm90a/.
template <class Kernel>
const void* Sm90aFunction();

// Fills in map->encoded from the rest, elements of type T. Nothing is launched.
template <typename T>
cudaError_t EncodeTileMap(TileMap* map);

}  // namespace rattn::cuda
