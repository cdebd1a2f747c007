// Clocks, temperature and power of a GPU from NVIDIA's management library,
// which comes with the driver and is loaded by name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/device.h"

namespace rattn::cuda {

class Nvml {
 public:
  // `pci_bus_id`: of the GPU, "0000:17:00.0". What fails is said by Clocks().
  Nvml(const char* library, const std::string& pci_bus_id);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  DeviceClocks Clocks() const;

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

// Reasons for clocks below what the load asks for (nvml.h,
// nvmlClocksThrottleReason*), in words; idling and settings of the user are
// none.
std::string ThrottleText(uint64_t reasons);

}  // namespace rattn::cuda
