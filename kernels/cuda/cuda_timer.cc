#include "kernels/cuda/cuda_timer.h"

#include <vector>

#include "kernels/window.h"

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

// A token that comes changes how many wait for the state, in a period that
// calls must go through.
std::vector<CacheViews> Period(const Problem& problem, const KvCache& cache) {
  CacheViews views = ViewsOf(problem, cache);
  const bool defers =
      problem.phase == Phase::kDecode && HasMemory(problem.spec) &&
      WaitingTokens(problem, cache.length()) == MemoryDelay(problem.spec);
  std::vector<CacheViews> all;
  for (int64_t i = 0; i < (defers ? cache.absorb_every() : 1); ++i) {
    all.push_back(views);
    views.pending = (views.pending + 1) % views.absorb_every;
  }
  return all;
}

}  // namespace

std::unique_ptr<DeviceTimer::Call> CudaTimer::Bring(const Problem& problem,
                                                    const Buffers& buffers,
                                                    const KvCache* cache,
                                                    std::string* error) const {
  std::vector<CacheViews> caches;
  if (cache != nullptr) caches = Period(problem, *cache);
  auto call = std::make_unique<OnDevice>(library_);
  if (const char* failure =
          library_->bring(problem, buffers, caches, &call->call)) {
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
