#include "harness/device_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "models/error.h"

namespace rattn {
namespace {

constexpr double kSteady = 0.02;      // relative change of a clock
constexpr double kWarmSeconds = 0.1;  // until clocks have gone up
constexpr int64_t kMostCalls = 10000;

class Sampler {
 public:
  Sampler(const DeviceTimer& timer, DeviceTimer::Call& call, bool cold)
      : timer_(timer), call_(call), cold_(cold) {}

  double Seconds(int64_t calls) const {
    std::string error;
    const double seconds = timer_.Seconds(call_, calls, cold_, &error);
    if (!error.empty()) {
      throw RunError(fmt::format("{}: {}", timer_.name(), error));
    }
    return seconds;
  }

  // Calls until the device is warm; how many of them fill a sample.
  int64_t WarmUp(double sample_seconds) const {
    Seconds(1);
    const double one = std::max(Seconds(1), 1e-9);
    Seconds(Calls(kWarmSeconds, one));
    return Calls(sample_seconds, one);
  }

 private:
  static int64_t Calls(double seconds, double one) {
    return static_cast<int64_t>(
        std::clamp(std::ceil(seconds / one), 1.0, double{kMostCalls}));
  }

  const DeviceTimer& timer_;
  DeviceTimer::Call& call_;
  bool cold_;
};

Json ToJson(const DeviceClocks& clocks) {
  if (!clocks.unknown.empty()) return {{"unknown", clocks.unknown}};
  return {
      {"sm_mhz", clocks.sm_mhz},         {"sm_max_mhz", clocks.sm_max_mhz},
      {"memory_mhz", clocks.memory_mhz}, {"temperature", clocks.temperature},
      {"watts", clocks.watts},           {"throttled", clocks.throttled}};
}

bool Moved(int before, int after) {
  return std::abs(after - before) > kSteady * before;
}

}  // namespace

DeviceSamples MeasureOnDevice(const DeviceTimer& timer, DeviceTimer::Call& call,
                              const StopRule& rule, bool cold) {
  const Sampler sampler(timer, call, cold);
  const int64_t calls = sampler.WarmUp(rule.sample_seconds);
  DeviceSamples measured;
  measured.before = timer.Clocks();
  measured.samples =
      MeasureRepeated([&] { return sampler.Seconds(calls); }, rule);
  measured.after = timer.Clocks();
  measured.samples.calls = calls;
  return measured;
}

std::string ClockDoubts(const DeviceClocks& before, const DeviceClocks& after) {
  for (const DeviceClocks* clocks : {&before, &after}) {
    if (!clocks->unknown.empty()) return "clocks unknown: " + clocks->unknown;
  }
  std::string doubts;
  const auto add = [&doubts](const std::string& text) {
    doubts += doubts.empty() ? text : "; " + text;
  };
  if (Moved(before.sm_mhz, after.sm_mhz)) {
    add(fmt::format("SM clock moved from {} to {} MHz", before.sm_mhz,
                    after.sm_mhz));
  }
  if (Moved(before.memory_mhz, after.memory_mhz)) {
    add(fmt::format("memory clock moved from {} to {} MHz", before.memory_mhz,
                    after.memory_mhz));
  }
  for (const DeviceClocks* clocks : {&before, &after}) {
    if (clocks->throttled.empty()) continue;
    add("held down by: " + clocks->throttled);
    break;
  }
  return doubts;
}

Json ClocksJson(const DeviceSamples& samples) {
  const std::string doubts = ClockDoubts(samples.before, samples.after);
  return {{"before", ToJson(samples.before)},
          {"after", ToJson(samples.after)},
          {"doubts", doubts.empty() ? Json() : Json(doubts)}};
}

}  // namespace rattn
