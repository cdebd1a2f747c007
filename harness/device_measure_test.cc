// Timing on a device, with a device that follows a script.
#include "harness/device_measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/kernel_cells.h"
#include "harness/kinds.h"
#include "harness/machine_peaks.h"
#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/host/fake_device.h"
#include "kernels/reference/reference_backend.h"
#include "models/error.h"

namespace rattn {
namespace {

using testing::HasSubstr;

class FakeTimer : public DeviceTimer {
 public:
  struct Tensors : Call {};

  std::string name() const override { return "NVIDIA H100 80GB HBM3"; }
  std::unique_ptr<Call> Bring(const Problem&, const Buffers&, const KvCache*,
                              std::string* error) const override {
    if (no_memory) {
      *error = "out of memory";
      return nullptr;
    }
    return std::make_unique<Tensors>();
  }
  double Seconds(Call&, int64_t calls, bool cold,
                 std::string* error) const override {
    asked.emplace_back(calls, cold);
    if (asked.size() == fails_at) *error = "illegal address";
    return cold ? 3e-4 : 2e-4;
  }
  DeviceClocks Clocks() const override {
    DeviceClocks clocks;
    clocks.sm_mhz = clocks_read++ == 0 ? 1980 : sm_mhz_after;
    clocks.sm_max_mhz = 1980;
    clocks.memory_mhz = 2619;
    return clocks;
  }

  bool no_memory = false;
  size_t fails_at = 0;
  int sm_mhz_after = 1980;
  mutable int clocks_read = 0;
  mutable std::vector<std::pair<int64_t, bool>> asked;
};

TEST(DeviceMeasure, SamplesAreFullAndClocksAreReadWarm) {
  const FakeTimer timer;
  FakeTimer::Tensors call;
  StopRule rule;
  rule.min_samples = 3;
  const DeviceSamples measured = MeasureOnDevice(timer, call, rule, false);
  EXPECT_EQ(measured.samples.calls, 10);  // 2 ms of 0.2 ms
  EXPECT_EQ(measured.samples.seconds.size(), 3u);
  EXPECT_EQ(measured.samples.stopped_by, "noise");
  EXPECT_DOUBLE_EQ(measured.samples.seconds.front(), 2e-4);
  ASSERT_EQ(timer.asked.size(), 3u + 1 + 3);
  EXPECT_EQ(timer.asked[2].first, 500);  // a tenth of a second
  EXPECT_EQ(timer.clocks_read, 2);
  EXPECT_EQ(ClockDoubts(measured.before, measured.after), "");
}

TEST(DeviceMeasure, ColdReachesTheDevice) {
  const FakeTimer timer;
  FakeTimer::Tensors call;
  const DeviceSamples measured = MeasureOnDevice(timer, call, {}, true);
  EXPECT_DOUBLE_EQ(measured.samples.seconds.front(), 3e-4);
  for (const auto& [calls, cold] : timer.asked) EXPECT_TRUE(cold);
}

TEST(DeviceMeasure, ADeviceThatFailsIsNamed) {
  FakeTimer timer;
  timer.fails_at = 4;
  FakeTimer::Tensors call;
  try {
    MeasureOnDevice(timer, call, {}, false);
    FAIL();
  } catch (const RunError& error) {
    EXPECT_STREQ(error.what(), "NVIDIA H100 80GB HBM3: illegal address");
  }
}

TEST(DeviceMeasure, MovedAndHeldClocksAreSaid) {
  DeviceClocks before, after;
  before.sm_mhz = after.sm_mhz = 1980;
  EXPECT_EQ(ClockDoubts(before, after), "");
  after.sm_mhz = 1950;
  EXPECT_EQ(ClockDoubts(before, after), "");  // within 2 %
  after.sm_mhz = 1410;
  after.throttled = "power cap";
  EXPECT_EQ(ClockDoubts(before, after),
            "SM clock moved from 1980 to 1410 MHz; held down by: power cap");
  after.unknown = "libnvidia-ml.so.1 was not found";
  EXPECT_EQ(ClockDoubts(before, after),
            "clocks unknown: libnvidia-ml.so.1 was not found");
}

// The reference, as if on a device.
class FakeBackend : public Backend {
 public:
  std::string_view name() const override { return "torch"; }
  std::string description() const override { return "fake"; }
  Support Supports(const Problem&) const override { return {}; }
  size_t WorkspaceBytes(const Problem& p) const override {
    return ReferenceBackend()->WorkspaceBytes(p);
  }
  void Forward(const Problem& p, const Buffers& b, Workspace w) const override {
    ReferenceBackend()->Forward(p, b, w);
  }
  void Backward(const Problem& p, const Buffers& b,
                Workspace w) const override {
    ReferenceBackend()->Backward(p, b, w);
  }
  void Extend(const Problem&, const Buffers&, KvCache&,
              Workspace) const override {}
  const DeviceTimer* timer() const override { return &fake; }

  FakeTimer fake;
};

// A kernel cell of that backend, which takes the place of LibTorch's.
class DeviceCell : public testing::Test {
 protected:
  DeviceCell() {
    backend_ = std::make_unique<FakeBackend>();
    instance_ = backend_.get();
    SetTorchBackendLoader(
        [](std::string*) -> const Backend* { return instance_; });
  }
  ~DeviceCell() override { SetTorchBackendLoader(nullptr); }

  CellResult Run() {
    const Cell cell = BuildCell(KernelCellKind(),
                                {{"variant", "swa"},
                                 {"window_keys", 8},
                                 {"context", 32},
                                 {"head_dim", 16},
                                 {"backend", "torch"},
                                 {"dtype", "fp32"}},
                                "test");
    return RunKernelCells(std::span(&cell, 1)).front();
  }

  std::unique_ptr<FakeBackend> backend_;
  static inline const Backend* instance_ = nullptr;
};

TEST_F(DeviceCell, HasTheDevicesTimeNotTheHosts) {
  backend_->fake.sm_mhz_after = 1000;
  const CellResult result = Run();
  EXPECT_EQ(result.status, CellStatus::kDone) << result.reason;
  EXPECT_DOUBLE_EQ(MetricValue(result, "time"), 2e-4);
  EXPECT_DOUBLE_EQ(MetricValue(result, "throughput"), 32 / 2e-4);
  EXPECT_EQ(result.detail["device"], "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(result.detail["calls_per_sample"], 10);
  EXPECT_THAT(result.detail["clocks"]["doubts"].get<std::string>(),
              HasSubstr("from 1980 to 1000 MHz"));
  EXPECT_EQ(result.check["passed"], true);
}

TEST_F(DeviceCell, FailsWithWhatTheDeviceSays) {
  backend_->fake.no_memory = true;
  CellResult result = Run();
  EXPECT_EQ(result.status, CellStatus::kFailed);
  EXPECT_THAT(result.reason, HasSubstr("out of memory"));
  backend_->fake.no_memory = false;
  backend_->fake.fails_at = 2;
  result = Run();
  EXPECT_EQ(result.status, CellStatus::kFailed);
  EXPECT_THAT(result.reason, HasSubstr("illegal address"));
}

// Prefill, check and timing of calls on caches that the host cannot touch.
TEST(KernelCells, CallsOnACacheStayOnTheDevice) {
  const auto fake = cuda::MakeFakeCudaBackend();
  cuda::SetCudaBackend(fake.get());
  for (const char* variant : {"full", "rattention"}) {
    const Cell cell = BuildCell(KernelCellKind(),
                                {{"variant", variant},
                                 {"window_keys", 8},
                                 {"context", 40},
                                 {"head_dim", 16},
                                 {"query_heads", 2},
                                 {"kv_heads", 1},
                                 {"phase", "decode"},
                                 {"absorb_every", 3},
                                 {"backend", "cuda"}},
                                "test");
    const CellResult result = RunKernelCells(std::span(&cell, 1)).front();
    EXPECT_EQ(result.status, CellStatus::kDone) << result.reason;
    EXPECT_EQ(result.check["passed"], true);
    EXPECT_DOUBLE_EQ(MetricValue(result, "time"), cuda::kFakeSeconds);
  }
  cuda::SetCudaBackend(nullptr);
  EXPECT_GT(cuda::FakeDevice::Get().timed_calls, 0);
  EXPECT_EQ(cuda::FakeDevice::Get().findings.Text(), "");
  EXPECT_EQ(cuda::FakeDevice::Get().allocations(), 0u);
}

// A cold call is a measurement of its own on a device in every phase.
TEST(KernelCells, ColdCountsWhereACacheIsEmptied) {
  const auto id = [](const char* backend, bool cold) {
    return BuildCell(
               KernelCellKind(),
               {{"variant", "full"}, {"backend", backend}, {"cold", cold}},
               "test")
        .id;
  };
  EXPECT_EQ(id("cpu", true), id("cpu", false));
  EXPECT_NE(id("cuda", true), id("cuda", false));
}

TEST(MachinePeaks, OfADeviceAreThoseOfItsFile) {
  const auto peaks = DevicePeaks("NVIDIA H100 80GB HBM3");
  ASSERT_TRUE(peaks.has_value());
  EXPECT_EQ(peaks->bf16_flops, 989e12);
  EXPECT_EQ(peaks->of, "NVIDIA H100 SXM5 80 GB");
  EXPECT_FALSE(DevicePeaks("NVIDIA GeForce 256").has_value());
}

}  // namespace
}  // namespace rattn
