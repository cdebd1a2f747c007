// Calls on tensors that stay on the device, timed there by events.
#include <memory>
#include <vector>

#include "kernels/cuda/cuda_library.h"
#include "kernels/cuda/device/host_tensors.h"
#include "kernels/cuda/support.h"
#include "kernels/cuda/timer_library.h"

extern "C" const rattn::cuda::CudaLibrary* RattnCudaLibrary();

namespace rattn::cuda {

namespace {

constexpr cudaStream_t kStream = nullptr;

const char* Text(cudaError_t error) {
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

bool UsesCache(const Problem& problem) {
  return problem.phase == Phase::kExtend || problem.phase == Phase::kDecode;
}

class Event {
 public:
  Event() { error_ = cudaEventCreate(&event_); }
  ~Event() {
    if (error_ == cudaSuccess) cudaEventDestroy(event_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaError_t Record() {
    return error_ != cudaSuccess ? error_ : cudaEventRecord(event_, kStream);
  }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
  cudaError_t error_;
};

// Memory that is written to push everything else out of the L2 cache.
class Flush {
 public:
  ~Flush() { cudaFree(memory_); }
  cudaError_t Queue() {
    if (memory_ == nullptr) {
      int device = 0, l2_bytes = 0;
      cudaGetDevice(&device);
      cudaDeviceGetAttribute(&l2_bytes, cudaDevAttrL2CacheSize, device);
      bytes_ = 2 * static_cast<size_t>(l2_bytes > 0 ? l2_bytes : 64 << 20);
      const cudaError_t error = cudaMalloc(&memory_, bytes_);
      if (error != cudaSuccess) return error;
    }
    return cudaMemsetAsync(memory_, 0, bytes_, kStream);
  }

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace

struct TimedCall {
  TimedCall(const Problem& p, const Buffers& buffers,
            std::span<const CacheViews> views)
      : problem(p),
        tensors(buffers, CudaWorkspaceBytes(p), kStream),
        caches(views.begin(), views.end()) {}

  const char* Queue() {
    const CudaLibrary& library = *RattnCudaLibrary();
    if (UsesCache(problem)) {
      const CacheViews& cache = caches[next_cache];
      next_cache = (next_cache + 1) % caches.size();
      return library.extend(problem, tensors.device(), cache,
                            tensors.workspace(), kStream);
    }
    const char* failure = library.forward(problem, tensors.device(),
                                          tensors.workspace(), kStream);
    if (failure != nullptr || problem.phase != Phase::kTrain) return failure;
    return library.backward(problem, tensors.device(), tensors.workspace(),
                            kStream);
  }

  // Of `calls` calls together.
  const char* Time(int64_t calls, double* seconds) {
    cudaError_t error = start.Record();
    for (int64_t i = 0; i < calls && error == cudaSuccess; ++i) {
      if (const char* failure = Queue()) return failure;
    }
    if (error == cudaSuccess) error = stop.Record();
    if (error == cudaSuccess) error = cudaEventSynchronize(stop.get());
    float milliseconds = 0;
    if (error == cudaSuccess) {
      error = cudaEventElapsedTime(&milliseconds, start.get(), stop.get());
    }
    *seconds = 1e-3 * static_cast<double>(milliseconds);
    return Text(error);
  }

  Problem problem;
  HostTensors tensors;
  std::vector<CacheViews> caches;
  size_t next_cache = 0;
  Flush flush;
  Event start, stop;
};

namespace {

const char* Bring(const Problem& problem, const Buffers& buffers,
                  std::span<const CacheViews> caches, TimedCall** call) {
  if (UsesCache(problem) && caches.empty()) return "no cache was given";
  // HostTensors keeps a reference to the host's buffers until it copies back,
  // which a timed call never does.
  auto made = std::make_unique<TimedCall>(problem, buffers, caches);
  if (const char* failure = Text(made->tensors.error())) return failure;
  *call = made.release();
  return Text(cudaStreamSynchronize(kStream));
}

void Release(TimedCall* call) { delete call; }

const char* Time(TimedCall* call, int64_t calls, bool cold, double* seconds) {
  if (!cold) {
    const char* failure = call->Time(calls, seconds);
    *seconds /= static_cast<double>(calls);
    return failure;
  }
  double sum = 0;
  for (int64_t i = 0; i < calls; ++i) {
    if (const char* failure = Text(call->flush.Queue())) return failure;
    double one = 0;
    if (const char* failure = call->Time(1, &one)) return failure;
    sum += one;
  }
  *seconds = sum / static_cast<double>(calls);
  return nullptr;
}

constexpr TimerLibrary kLibrary = {Bring, Release, Time};

}  // namespace
}  // namespace rattn::cuda

extern "C" const rattn::cuda::TimerLibrary* RattnCudaTimer() {
  return &rattn::cuda::kLibrary;
}
