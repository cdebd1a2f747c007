#include "kernels/cuda/cuda_timer.h"

namespace rattn::cuda {
namespace {

struct OnDevice : DeviceTimer::Call {
  explicit OnDevice(const TimerLibrary* timer) : library(timer) {}
  ~OnDevice() override {
    if (call != nullptr) library->release(call);
  }
  const TimerLibrary* library;
  TimedCall* call = nullptr;
};

}  // namespace

std::unique_ptr<DeviceTimer::Call> CudaTimer::Bring(const Problem& problem,
                                                    const Buffers& buffers,
                                                    std::string* error) const {
  if (problem.phase != Phase::kForward && problem.phase != Phase::kTrain) {
    *error = "calls on a cache cannot be timed on the device yet";
    return nullptr;
  }
  auto call = std::make_unique<OnDevice>(library_);
  if (const char* failure = library_->bring(problem, buffers, &call->call)) {
    *error = failure;
    return nullptr;
  }
  return call;
}

double CudaTimer::Seconds(Call& call, int64_t calls, bool cold,
                          std::string* error) const {
  double seconds = 0;
  const char* failure =
      library_->time(static_cast<OnDevice&>(call).call, calls, cold, &seconds);
  if (failure != nullptr) *error = failure;
  return seconds;
}

}  // namespace rattn::cuda
