// What librattn_cuda.so offers for timing, beside cuda_library.h.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace rattn::cuda {

struct TimedCall;  // tensors of one call on the device

// Functions return nullptr or what went wrong.
struct TimerLibrary {
  // Host tensors; phase kForward, or kTrain for both passes.
  const char* (*bring)(const Problem& problem, const Buffers& buffers,
                       TimedCall** call);
  void (*release)(TimedCall* call);
  // DeviceTimer::Seconds.
  const char* (*time)(TimedCall* call, int64_t calls, bool cold,
                      double* seconds);
};

inline constexpr const char* kTimerLibraryEntry = "RattnCudaTimer";
using TimerLibraryEntry = const TimerLibrary* (*)();

}  // namespace rattn::cuda
