// What librattn_cuda.so offers. It holds everything that nvcc compiled and the
// CUDA runtime, and is loaded only where there is a driver and a GPU for it.
#pragma once

#include "kernels/cuda/cache_views.h"
#include "kernels/problem.h"

namespace rattn::cuda {

struct CudaLibrary {
  // On device pointers in `buffers` and `workspace`; queued on `stream` (a
  // cudaStream_t), allocates and waits for nothing. Each returns nullptr or
  // what went wrong.
  const char* (*forward)(const Problem& problem, const Buffers& buffers,
                         Workspace workspace, void* stream);
  const char* (*backward)(const Problem& problem, const Buffers& buffers,
                          Workspace workspace, void* stream);
  // Phases kExtend and kDecode, on a cache in device memory (its list of pages,
  // too); AdvanceCache is left to the caller.
  const char* (*extend)(const Problem& problem, const Buffers& buffers,
                        const CacheViews& cache, Workspace workspace,
                        void* stream);
  // On host pointers: tensors are copied there and back; workspace as the
  // kernels need is taken from the device.
  const char* (*forward_from_host)(const Problem& problem,
                                   const Buffers& buffers);
  const char* (*backward_from_host)(const Problem& problem,
                                    const Buffers& buffers);
  // On host pointers but for the cache's, which are of the device.
  const char* (*extend_from_host)(const Problem& problem,
                                  const Buffers& buffers,
                                  const CacheViews& cache);

  // Memory of the device. zero and copy (either side may be the host's) come
  // behind all that is queued there and are done on return.
  const char* (*allocate)(size_t bytes, void** data);
  void (*free)(void* data);
  const char* (*zero)(void* data, size_t bytes);
  const char* (*copy)(void* to, const void* from, size_t bytes);
};

inline constexpr const char* kCudaLibraryFile = "librattn_cuda.so";
inline constexpr const char* kCudaLibraryEntry = "RattnCudaLibrary";
using CudaLibraryEntry = const CudaLibrary* (*)();

}  // namespace rattn::cuda
