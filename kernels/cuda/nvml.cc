#include "kernels/cuda/nvml.h"

#include "kernels/cuda/shared_library.h"

namespace rattn::cuda {

struct Nvml::Loaded {
  explicit Loaded(const char* path) : library(path) {}
  SharedLibrary library;
  void* device = nullptr;
  std::string failure;
};

Nvml::Nvml(const char* path, const std::string& pci_bus_id)
    : loaded_(std::make_unique<Loaded>(path)) {
  Loaded& nvml = *loaded_;
  if (!nvml.library) {
    nvml.failure = std::string(path) + " was not found";
  } else if (nvml.library.Call("nvmlInit_v2") != 0) {
    nvml.failure = std::string(path) + " did not start";
  } else if (nvml.library.Call("nvmlDeviceGetHandleByPciBusId_v2",
                               pci_bus_id.c_str(), &nvml.device) != 0) {
    nvml.failure = std::string(path) + " does not know the GPU " + pci_bus_id;
  }
}

Nvml::~Nvml() {
  if (loaded_->device != nullptr) loaded_->library.Call("nvmlShutdown");
}

DeviceClocks Nvml::Clocks() const {
  constexpr int kSm = 1, kMemory = 2, kGpuSensor = 0;
  DeviceClocks clocks;
  clocks.unknown = loaded_->failure;
  if (!clocks.unknown.empty()) return clocks;
  const auto read = [this](const char* name, auto... arguments) {
    unsigned value = 0;
    const bool got =
        loaded_->library.Call(name, loaded_->device, arguments..., &value) == 0;
    return got ? static_cast<int>(value) : 0;
  };
  clocks.sm_mhz = read("nvmlDeviceGetClockInfo", kSm);
  clocks.sm_max_mhz = read("nvmlDeviceGetMaxClockInfo", kSm);
  clocks.memory_mhz = read("nvmlDeviceGetClockInfo", kMemory);
  clocks.temperature = read("nvmlDeviceGetTemperature", kGpuSensor);
  clocks.watts = 1e-3 * read("nvmlDeviceGetPowerUsage");
  unsigned long long reasons = 0;
  loaded_->library.Call("nvmlDeviceGetCurrentClocksThrottleReasons",
                        loaded_->device, &reasons);
  clocks.throttled = ThrottleText(reasons);
  if (clocks.sm_mhz == 0) clocks.unknown = "the driver does not tell the clock";
  return clocks;
}

std::string ThrottleText(uint64_t reasons) {
  struct Reason {
    uint64_t bit;
    const char* text;
  };
  constexpr Reason kReasons[] = {{0x4, "power cap"},
                                 {0x8, "hardware slowdown"},
                                 {0x20, "temperature"},
                                 {0x40, "temperature (hardware)"},
                                 {0x80, "power brake"}};
  std::string text;
  for (const Reason& reason : kReasons) {
    if ((reasons & reason.bit) == 0) continue;
    if (!text.empty()) text += ", ";
    text += reason.text;
  }
  return text;
}

}  // namespace rattn::cuda
