// A device of its own (a GPU) that a backend runs on: calls on tensors that lie
// there, and the time they take.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/kv_cache.h"
#include "kernels/problem.h"

namespace rattn {

// Calls of Backend on device pointers in `buffers` and `workspace`, queued on
// `stream` (of CUDA: a cudaStream_t); they allocate and wait for nothing. Each
// returns nullptr or what went wrong.
class DeviceCalls {
 public:
  virtual ~DeviceCalls() = default;
  virtual int device_index() const = 0;  // as LibTorch counts devices
  // On the device, 64-byte aligned.
  virtual size_t WorkspaceBytes(const Problem& problem) const = 0;
  virtual const char* Forward(const Problem& problem, const Buffers& buffers,
                              Workspace workspace, void* stream) const = 0;
  virtual const char* Backward(const Problem& problem, const Buffers& buffers,
                               Workspace workspace, void* stream) const = 0;
  virtual const char* Extend(const Problem& problem, const Buffers& buffers,
                             KvCache& cache, Workspace workspace,
                             void* stream) const = 0;
};

// What the device does at a moment; absent figures are 0.
struct DeviceClocks {
  int sm_mhz = 0;      // now
  int sm_max_mhz = 0;  // that it can go to
  int memory_mhz = 0;
  int temperature = 0;  // degrees Celsius
  double watts = 0;
  std::string throttled;  // reasons in words; empty: none
  std::string unknown;    // why clocks cannot be read; empty: they can
};

// Times calls on the device itself, from the first to the last operation, their
// tensors staying there. Functions that can fail leave what went wrong in
// `error`.
class DeviceTimer {
 public:
  virtual ~DeviceTimer() = default;

  // The tensors of one call on the device.
  class Call {
   public:
    virtual ~Call() = default;
  };

  virtual std::string name() const = 0;  // "NVIDIA H100 80GB HBM3"
  // Copies the tensors there, and takes the workspace; null on failure. Phase
  // kTrain: a call is Forward and Backward. Phases kExtend and kDecode: `cache`
  // lies on the device and outlives the call, whose repetitions are alike: each
  // finds the cache as long as it is now.
  virtual std::unique_ptr<Call> Bring(const Problem& problem,
                                      const Buffers& buffers,
                                      const KvCache* cache,
                                      std::string* error) const = 0;
  // Seconds of one call, the mean of `calls`. With `cold` other data are
  // written through the last-level cache before each call, which is then timed
  // by itself; otherwise calls follow each other.
  virtual double Seconds(Call& call, int64_t calls, bool cold,
                         std::string* error) const = 0;
  virtual DeviceClocks Clocks() const = 0;
};

}  // namespace rattn
