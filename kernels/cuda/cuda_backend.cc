#include "kernels/cuda/cuda_backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>

#include "kernels/cuda/cache_views.h"
#include "kernels/cuda/cuda_timer.h"
#include "kernels/cuda/shared_library.h"
#include "kernels/cuda/support.h"

namespace rattn {
namespace cuda {
namespace {

constexpr int kOldestMajor = 8;  // mma of bf16 and cp.async

// The driver API.
class Driver : public SharedLibrary {
 public:
  using SharedLibrary::SharedLibrary;
  std::string ErrorText(int error) const {
    const char* text = nullptr;
    Call("cuGetErrorString", error, &text);
    return fmt::format("{} (error {})", text != nullptr ? text : "unknown",
                       error);
  }
};

int Attribute(const Driver& driver, int attribute, int device) {
  int value = 0;
  driver.Call("cuDeviceGetAttribute", &value, attribute, device);
  return value;
}

GpuReport Describe(const Driver& driver) {
  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and MINOR
  constexpr int kMajor = 75, kMinor = 76;
  int device = 0;
  char name[256] = {}, bus[64] = {};
  driver.Call("cuDeviceGet", &device, 0);
  driver.Call("cuDeviceGetName", &name[0], int{sizeof(name)}, device);
  driver.Call("cuDeviceGetPCIBusId", &bus[0], int{sizeof(bus)}, device);
  GpuReport gpu{.name = name,
                .pci_bus_id = bus,
                .major = Attribute(driver, kMajor, device),
                .minor = Attribute(driver, kMinor, device)};
  driver.Call("cuDriverGetVersion", &gpu.driver);
  driver.Call("cuDeviceTotalMem_v2", &gpu.memory_bytes, device);
  if (gpu.major < kOldestMajor) {
    gpu.reason = fmt::format(
        "{} has compute capability {}.{}, the CUDA kernels need {}.0 or newer",
        gpu.name, gpu.major, gpu.minor, kOldestMajor);
  }
  return gpu;
}

// Beside the library that this function is in.
std::filesystem::path LibraryPath() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&CudaBackend), &info) == 0 ||
      info.dli_fname == nullptr) {
    return kCudaLibraryFile;
  }
  std::error_code error;
  return std::filesystem::absolute(info.dli_fname, error).parent_path() /
         kCudaLibraryFile;
}

Libraries LoadLibraries(const std::string& path, std::string* reason) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    *reason =
        fmt::format("the CUDA kernels could not be loaded: {}", dlerror());
    return {};
  }
  const auto kernels =
      reinterpret_cast<CudaLibraryEntry>(dlsym(library, kCudaLibraryEntry));
  const auto timer =
      reinterpret_cast<TimerLibraryEntry>(dlsym(library, kTimerLibraryEntry));
  if (kernels == nullptr || timer == nullptr) {
    *reason = fmt::format("{} does not hold rattn's CUDA kernels", path);
    return {};
  }
  return {kernels(), timer()};
}

// A failed call leaves no output that could be taken for a result.
void Spoil(const TensorView& x) {
  for (int64_t i = 0; i < x.NumElements(); ++i) {
    const int64_t d = i % x.shape[3], h = i / x.shape[3] % x.shape[2];
    const int64_t rest = i / x.shape[3] / x.shape[2];
    x.Set(rest / x.shape[1], rest % x.shape[1], h, d,
          std::numeric_limits<double>::quiet_NaN());
  }
}

class DeviceAllocator : public Allocator {
 public:
  explicit DeviceAllocator(const CudaLibrary* library) : library_(library) {}

  void* Allocate(size_t bytes) const override {
    void* data = nullptr;
    if (library_->allocate(bytes, &data) != nullptr) throw std::bad_alloc();
    Zero(data, bytes);
    return data;
  }
  void Free(void* data) const override { library_->free(data); }
  void Zero(void* data, size_t bytes) const override {
    Check(library_->zero(data, bytes));
  }
  void Copy(void* to, const void* from, size_t bytes) const override {
    Check(library_->copy(to, from, bytes));
  }

 private:
  static void Check(const char* failure) {
    if (failure == nullptr) return;
    throw std::runtime_error(fmt::format("cuda: {}", failure));
  }

  const CudaLibrary* library_;
};

class Calls : public DeviceCalls {
 public:
  explicit Calls(const CudaLibrary* library) : library_(library) {}

  int device_index() const override { return 0; }  // FindGpu's
  size_t WorkspaceBytes(const Problem& problem) const override {
    return CudaWorkspaceBytes(problem);
  }
  const char* Forward(const Problem& problem, const Buffers& buffers,
                      Workspace workspace, void* stream) const override {
    return library_->forward(problem, buffers, workspace, stream);
  }
  const char* Backward(const Problem& problem, const Buffers& buffers,
                       Workspace workspace, void* stream) const override {
    return library_->backward(problem, buffers, workspace, stream);
  }
  const char* Extend(const Problem& problem, const Buffers& buffers,
                     KvCache& cache, Workspace workspace,
                     void* stream) const override {
    const char* failure = library_->extend(
        problem, buffers, ViewsOf(problem, cache), workspace, stream);
    AdvanceCache(problem, &cache);
    return failure;
  }

 private:
  const CudaLibrary* library_;
};

class Cuda : public Backend {
 public:
  Cuda(const Libraries& libraries, const GpuReport& gpu)
      : library_(libraries.kernels),
        gpu_(gpu),
        allocator_(libraries.kernels),
        calls_(libraries.kernels),
        timer_(libraries.timer, gpu.name, gpu.pci_bus_id) {}

  std::string_view name() const override { return "cuda"; }
  std::string description() const override {
    return fmt::format("tensor-core kernels on {} (compute capability {}.{})",
                       gpu_.name, gpu_.major, gpu_.minor);
  }
  Support Supports(const Problem& problem) const override {
    return CudaSupports(problem);
  }
  // Of the host; what the device needs is taken there.
  size_t WorkspaceBytes(const Problem&) const override { return 0; }
  void Forward(const Problem& problem, const Buffers& buffers,
               Workspace) const override {
    if (library_->forward_from_host(problem, buffers) != nullptr) {
      Spoil(buffers.o);
    }
  }
  void Backward(const Problem& problem, const Buffers& buffers,
                Workspace) const override {
    if (library_->backward_from_host(problem, buffers) == nullptr) return;
    for (const TensorView* view : {&buffers.dq, &buffers.dk, &buffers.dv}) {
      if (*view) Spoil(*view);
    }
  }
  void Extend(const Problem& problem, const Buffers& buffers, KvCache& cache,
              Workspace) const override {
    if (library_->extend_from_host(problem, buffers, ViewsOf(problem, cache)) !=
        nullptr) {
      Spoil(buffers.o);
    }
    AdvanceCache(problem, &cache);
  }
  const Allocator& cache_allocator() const override { return allocator_; }
  const DeviceTimer* timer() const override { return &timer_; }
  const DeviceCalls* device_calls() const override { return &calls_; }

 private:
  const CudaLibrary* library_;
  GpuReport gpu_;
  DeviceAllocator allocator_;
  Calls calls_;
  CudaTimer timer_;
};

struct Found {
  std::unique_ptr<const Backend> backend;
  std::string reason;
};

Found Find() {
  Found found;
  const std::filesystem::path path = LibraryPath();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    found.reason =
        "this version was built without CUDA kernels (RATTN_CUDA=ON and the "
        "CUDA Toolkit build them)";
    return found;
  }
  const GpuReport gpu = FindGpu("libcuda.so.1");
  found.reason = gpu.reason;
  if (!found.reason.empty()) return found;
  const Libraries libraries = LoadLibraries(path.string(), &found.reason);
  if (libraries.kernels != nullptr) {
    found.backend = MakeCudaBackend(libraries, gpu);
  }
  return found;
}

const Backend* set_backend = nullptr;

}  // namespace

std::unique_ptr<const Backend> MakeCudaBackend(const Libraries& libraries,
                                               const GpuReport& gpu) {
  return std::make_unique<const Cuda>(libraries, gpu);
}

void SetCudaBackend(const Backend* backend) { set_backend = backend; }

GpuReport FindGpu(const char* path) {
  const Driver driver(path);
  if (!driver) {
    return {.reason = fmt::format(
                "no NVIDIA driver was found for the CUDA kernels ({})", path)};
  }
  if (const int error = driver.Call("cuInit", 0u); error != 0) {
    return {.reason =
                "the NVIDIA driver did not start: " + driver.ErrorText(error)};
  }
  int count = 0;
  driver.Call("cuDeviceGetCount", &count);
  if (count < 1) return {.reason = "the NVIDIA driver sees no GPU"};
  return Describe(driver);
}

}  // namespace cuda

const Backend* CudaBackend(std::string* reason) {
  if (cuda::set_backend != nullptr) return cuda::set_backend;
  static const cuda::Found found = cuda::Find();
  *reason = found.reason;
  return found.backend.get();
}

}  // namespace rattn
