// The functions of libnvidia-ml.so.1 that nvml.cc calls, of a GPU that is held
// down by its power cap. Signatures as in nvml.h.
#include <cstring>

namespace {
int gpu;
bool IsGpu(const void* device) { return device == &gpu; }
}  // namespace

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  *device = &gpu;
  return std::strcmp(id, "0000:17:00.0") == 0 ? 0 : 6;
}
int nvmlDeviceGetClockInfo(void* device, unsigned clock, unsigned* mhz) {
  *mhz = clock == 1 ? 1410 : 2619;
  return IsGpu(device) ? 0 : 2;
}
int nvmlDeviceGetMaxClockInfo(void* device, unsigned, unsigned* mhz) {
  *mhz = 1980;
  return IsGpu(device) ? 0 : 2;
}
int nvmlDeviceGetTemperature(void* device, unsigned, unsigned* celsius) {
  *celsius = 71;
  return IsGpu(device) ? 0 : 2;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = 699500;
  return IsGpu(device) ? 0 : 2;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device,
                                              unsigned long long* reasons) {
  *reasons = 0x4;
  return IsGpu(device) ? 0 : 2;
}

}  // extern "C"
