// A device of its own (a GPU) that a backend runs on, as far as measuring goes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/problem.h"

namespace rattn {

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
  // kTrain: a call is Forward and Backward.
  virtual std::unique_ptr<Call> Bring(const Problem& problem,
                                      const Buffers& buffers,
                                      std::string* error) const = 0;
  // Seconds of one call, the mean of `calls`. With `cold` other data are
  // written through the last-level cache before each call, which is then timed
  // by itself; otherwise calls follow each other.
  virtual double Seconds(Call& call, int64_t calls, bool cold,
                         std::string* error) const = 0;
  virtual DeviceClocks Clocks() const = 0;
};

}  // namespace rattn
