#include "kernels/cuda/host/fake_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/host/host_backend.h"

namespace rattn::cuda {
namespace {

constexpr size_t kMemory = size_t{64} << 20;
constexpr size_t kAlignment = 256;

std::recursive_mutex lock;
int open_count = 0;

FakeDevice& Device() { return FakeDevice::Get(); }

HostBackend Kernels() { return HostBackend(&Device().findings); }

// What went wrong in a call whose tensors must all lie on the device.
template <typename Run>
const char* OnDevice(const Buffers& buffers, Workspace workspace, void* stream,
                     const Run& run) {
  const std::lock_guard guard(lock);
  const FakeDevice::Access access;
  Device().streams.push_back(stream);
  Device().workspaces.push_back(workspace.data);
  if (workspace.bytes > 0 && !Device().Owns(workspace.data)) {
    return "the workspace is not on the device";
  }
  for (const TensorView* view :
       {&buffers.q, &buffers.k, &buffers.v, &buffers.q_memory,
        &buffers.k_memory, &buffers.norm_local, &buffers.norm_memory,
        &buffers.o, &buffers.lse, &buffers.o_local, &buffers.o_memory,
        &buffers.d_o, &buffers.dq, &buffers.dk, &buffers.dv, &buffers.dq_memory,
        &buffers.dk_memory, &buffers.d_norm_local, &buffers.d_norm_memory}) {
    if (*view && !Device().Owns(view->data)) {
      return "a tensor is not on the device";
    }
  }
  run();
  return nullptr;
}

const char* Forward(const Problem& problem, const Buffers& buffers,
                    Workspace workspace, void* stream) {
  return OnDevice(buffers, workspace, stream,
                  [&] { Kernels().Forward(problem, buffers, workspace); });
}
const char* Backward(const Problem& problem, const Buffers& buffers,
                     Workspace workspace, void* stream) {
  return OnDevice(buffers, workspace, stream,
                  [&] { Kernels().Backward(problem, buffers, workspace); });
}
const char* Extend(const Problem& problem, const Buffers& buffers,
                   const CacheViews& cache, Workspace workspace, void* stream) {
  return OnDevice(buffers, workspace, stream, [&] {
    Kernels().Extend(problem, buffers, cache, workspace);
  });
}

// The workspace of calls on host tensors is the device's own affair.
template <typename Run>
const char* FromHost(const Problem& problem, const Run& run) {
  const std::lock_guard guard(lock);
  const FakeDevice::Access access;
  ++Device().calls_from_host;
  const AlignedBuffer workspace(Kernels().WorkspaceBytes(problem));
  run(Workspace{workspace.data(), workspace.size()});
  return nullptr;
}
const char* ForwardFromHost(const Problem& problem, const Buffers& buffers) {
  return FromHost(problem, [&](Workspace workspace) {
    Kernels().Forward(problem, buffers, workspace);
  });
}
const char* BackwardFromHost(const Problem& problem, const Buffers& buffers) {
  return FromHost(problem, [&](Workspace workspace) {
    Kernels().Backward(problem, buffers, workspace);
  });
}
const char* ExtendFromHost(const Problem& problem, const Buffers& buffers,
                           const CacheViews& cache) {
  return FromHost(problem, [&](Workspace workspace) {
    Kernels().Extend(problem, buffers, cache, workspace);
  });
}

const char* Allocate(size_t bytes, void** data) {
  *data = Device().Allocate(bytes);
  return *data == nullptr ? "out of memory" : nullptr;
}
void Free(void* data) { Device().Free(data); }
const char* Zero(void* data, size_t bytes) {
  const FakeDevice::Access access;
  std::memset(data, 0, bytes);
  return nullptr;
}
const char* Copy(void* to, const void* from, size_t bytes) {
  const FakeDevice::Access access;
  std::memcpy(to, from, bytes);
  return nullptr;
}

}  // namespace

struct TimedCall {
  Problem problem;
  Buffers buffers;
  std::vector<CacheViews> caches;
  size_t next = 0;
};

namespace {

const char* Bring(const Problem& problem, const Buffers& buffers,
                  std::span<const CacheViews> caches, TimedCall** call) {
  *call = new TimedCall{problem, buffers, {caches.begin(), caches.end()}, 0};
  return nullptr;
}
void Release(TimedCall* call) { delete call; }
const char* Time(TimedCall* call, int64_t calls, bool, double* seconds) {
  *seconds = kFakeSeconds;
  const CacheViews& cache = call->caches[call->next++ % call->caches.size()];
  Device().timed_calls += calls;
  return ExtendFromHost(call->problem, call->buffers, cache);
}

constexpr TimerLibrary kTimer = {Bring, Release, Time};
constexpr CudaLibrary kLibrary = {.forward = Forward,
                                  .backward = Backward,
                                  .extend = Extend,
                                  .forward_from_host = ForwardFromHost,
                                  .backward_from_host = BackwardFromHost,
                                  .extend_from_host = ExtendFromHost,
                                  .allocate = Allocate,
                                  .free = Free,
                                  .zero = Zero,
                                  .copy = Copy};

}  // namespace

FakeDevice& FakeDevice::Get() {
  static FakeDevice& device = *new FakeDevice;  // tensors may die at exit
  return device;
}

FakeDevice::FakeDevice()
    : memory_(static_cast<std::byte*>(
          mmap(nullptr, kMemory, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
  if (memory_ == MAP_FAILED) std::abort();
}

// The first gap that is large enough.
void* FakeDevice::Allocate(size_t bytes) {
  const std::lock_guard guard(lock);
  bytes =
      (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  size_t at = 0;
  auto next = used_.begin();
  while (next != used_.end() && next->at - at < bytes) {
    at = next->at + next->bytes;
    ++next;
  }
  if (kMemory - at < bytes) return nullptr;
  used_.insert(next, {at, bytes});
  const Access access;
  std::memset(memory_ + at, 0xff, bytes);  // NaNs
  return memory_ + at;
}

void FakeDevice::Free(void* data) {
  const std::lock_guard guard(lock);
  const size_t at =
      static_cast<size_t>(static_cast<std::byte*>(data) - memory_);
  const auto piece = std::find_if(used_.begin(), used_.end(),
                                  [at](const Piece& p) { return p.at == at; });
  if (piece == used_.end()) std::abort();
  used_.erase(piece);
}

bool FakeDevice::Owns(const void* data) const {
  const auto* p = static_cast<const std::byte*>(data);
  return p >= memory_ && p < memory_ + kMemory;
}

FakeDevice::Access::Access() {
  const std::lock_guard guard(lock);
  if (open_count++ == 0) {
    mprotect(Device().memory_, kMemory, PROT_READ | PROT_WRITE);
  }
}

FakeDevice::Access::~Access() {
  const std::lock_guard guard(lock);
  if (--open_count == 0) mprotect(Device().memory_, kMemory, PROT_NONE);
}

std::unique_ptr<const Backend> MakeFakeCudaBackend() {
  GpuReport gpu;
  gpu.name = "fake GPU";
  gpu.major = 8;
  return MakeCudaBackend({&kLibrary, &kTimer}, gpu);
}

}  // namespace rattn::cuda
