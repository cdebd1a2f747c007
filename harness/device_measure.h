// Samples of a call on a device, timed there, with what its clocks did.
#pragma once

#include <string>

#include "harness/measure.h"
#include "kernels/device.h"
#include "models/json_fields.h"

namespace rattn {

struct DeviceSamples {
  Samples samples;
  // Both under load: behind the calls that warm up, behind the last sample.
  DeviceClocks before, after;
};

// A sample is the mean of as many calls as last rule.sample_seconds; with
// `cold` (DeviceTimer::Seconds) of as many timed one by one. Throws RunError
// with what the device says.
DeviceSamples MeasureOnDevice(const DeviceTimer& timer, DeviceTimer::Call& call,
                              const StopRule& rule, bool cold);

// What makes the samples doubtful: clocks that moved by more than 2 % or were
// held down, or that nobody can tell; empty if nothing does.
std::string ClockDoubts(const DeviceClocks& before, const DeviceClocks& after);

// {before, after, doubts}
Json ClocksJson(const DeviceSamples& samples);

}  // namespace rattn
