// What librattn_cuda.so offers for timing, beside cuda_library.h.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/cache_views.h"
#include "kernels/problem.h"

namespace rattn::cuda {

struct TimedCall;  // tensors of one call on the device

// Functions return nullptr or what went wrong.
struct TimerLibrary {
  // Host tensors; phase kTrain for both passes. Phases on a cache: `caches` on
  // the device, which successive calls take in turn.
  const char* (*bring)(const Problem& problem, const Buffers& buffers,
                       std::span<const CacheViews> caches, TimedCall** call);
  void (*release)(TimedCall* call);
  // DeviceTimer::Seconds.
  const char* (*time)(TimedCall* call, int64_t calls, bool cold,
                      double* seconds);
};

inline constexpr const char* kTimerLibraryEntry = "RattnCudaTimer";
using TimerLibraryEntry = const TimerLibrary* (*)();

}  // namespace rattn::cuda
