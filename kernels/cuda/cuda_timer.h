// The device timer of the cuda backend: events of librattn_cuda.so, clocks of
// the driver.
#pragma once

#include <string>

#include "kernels/cuda/nvml.h"
#include "kernels/cuda/timer_library.h"
#include "kernels/device.h"

namespace rattn::cuda {

class CudaTimer : public DeviceTimer {
 public:
  CudaTimer(const TimerLibrary* library, const std::string& name,
            const std::string& pci_bus_id)
      : library_(library),
        name_(name),
        nvml_("libnvidia-ml.so.1", pci_bus_id) {}

  std::string name() const override { return name_; }
  std::unique_ptr<Call> Bring(const Problem& problem, const Buffers& buffers,
                              const KvCache* cache,
                              std::string* error) const override;
  double Seconds(Call& call, int64_t calls, bool cold,
                 std::string* error) const override;
  DeviceClocks Clocks() const override { return nvml_.Clocks(); }

 private:
  const TimerLibrary* library_;
  std::string name_;
  Nvml nvml_;
};

}  // namespace rattn::cuda
