#include "kernels/torch/fake_cuda/fake_cuda.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstring>
#include <optional>
#include <utility>

#include "kernels/cuda/cuda_backend.h"

namespace rattn {
namespace {

using Access = cuda::FakeDevice::Access;
using at::Tensor;

thread_local int64_t current_stream = 0;

class Guard : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return at::kCUDA; }
  c10::Device exchangeDevice(c10::Device) const override { return kFakeCuda; }
  c10::Device getDevice() const override { return kFakeCuda; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(c10::Device) const override {
    return MakeStream(current_stream);
  }
  c10::Stream getDefaultStream(c10::Device) const override {
    return MakeStream(0);
  }
  c10::Stream exchangeStream(c10::Stream s) const override {
    return MakeStream(std::exchange(current_stream, s.id()));
  }
  void* getStreamNativeHandle(const c10::Stream s) const override {
    return FakeStreamHandle(s.id());
  }
  void record(void**, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeDevice(const c10::DeviceIndex) const override {}

 private:
  static c10::Stream MakeStream(int64_t id) {
    return c10::Stream(c10::Stream::UNSAFE, kFakeCuda, id);
  }
};

// By which LibTorch's autograd learns that there is a device with streams.
class Hooks : public at::CUDAHooksInterface {
 public:
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
  at::DeviceIndex deviceCount() const override { return 1; }
  at::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(at::DeviceIndex) const override {}
  at::DeviceIndex exchangeDevice(at::DeviceIndex) const override { return 0; }
  at::DeviceIndex maybeExchangeDevice(at::DeviceIndex) const override {
    return 0;
  }
  bool isPinnedPtr(const void*) const override { return false; }
  // Seeded with all others; what draws numbers runs on the CPU.
  const at::Generator& getDefaultGenerator(at::DeviceIndex) const override {
    static const at::Generator generator = at::detail::createCPUGenerator();
    return generator;
  }
};

void FreeMemory(void* data) { FakeCuda::device().Free(data); }

class DeviceMemory : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = FakeCuda::device().Allocate(bytes);
    TORCH_CHECK(data != nullptr, "the fake device is full");
    return {data, data, &FreeMemory, kFakeCuda};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &FreeMemory; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    const Access access;
    std::memcpy(to, from, bytes);
  }
};

DeviceMemory* Memory() {
  static DeviceMemory& memory = *new DeviceMemory;
  return &memory;
}

const c10::DispatchKeySet kKeys(c10::DispatchKey::CUDA);

Tensor Empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
             std::optional<at::Layout>, std::optional<at::Device>,
             std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, Memory(), kKeys,
                                   dtype.value_or(at::kFloat), format);
}

Tensor EmptyStrided(at::IntArrayRef size, at::IntArrayRef stride,
                    std::optional<at::ScalarType> dtype,
                    std::optional<at::Layout>, std::optional<at::Device>,
                    std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, Memory(), kKeys,
                                           dtype.value_or(at::kFloat));
}

// The same memory as a tensor of the CPU.
Tensor OnCpu(const Tensor& t) {
  if (!t.defined() || !t.is_cuda()) return t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(),
                       t.options().device(at::kCPU).requires_grad(false));
}

Tensor ToDevice(const Tensor& t) {
  if (!t.defined()) return t;
  const Tensor dense = t.contiguous();
  Tensor out = at::empty(dense.sizes(), dense.options().device(kFakeCuda));
  std::memcpy(out.data_ptr(), dense.data_ptr(), dense.nbytes());
  return out;
}

Tensor& Copy(Tensor& self, const Tensor& source, bool) {
  const Access access;
  OnCpu(self).copy_(OnCpu(source));
  return self;
}

c10::IValue ArgumentOnCpu(const c10::IValue& value) {
  if (value.isTensor()) return OnCpu(value.toTensor());
  if (value.isDevice()) return c10::Device(at::kCPU);
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(OnCpu(t));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> list;
    for (const auto& t : value.toOptionalTensorVector()) {
      list.push_back(t ? std::optional(OnCpu(*t)) : t);
    }
    return list;
  }
  return value;
}

// The argument that a result is: of operations in place, and of those whose
// outputs are given.
std::optional<size_t> WrittenArgument(const c10::FunctionSchema& schema,
                                      size_t result) {
  const c10::AliasInfo* alias = schema.returns()[result].alias_info();
  if (alias == nullptr) return std::nullopt;
  TORCH_CHECK(alias->isWrite(), "the fake device lacks the view ",
              schema.name());
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::AliasInfo* other = schema.arguments()[i].alias_info();
    if (other != nullptr && *other == *alias) return i;
  }
  return std::nullopt;
}

void RunOnCpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Access access;
  const c10::FunctionSchema& schema = op.schema();
  const size_t count = schema.arguments().size();
  const std::vector<c10::IValue> given(stack->end() - count, stack->end());
  for (size_t i = 0; i < count; ++i) {
    (*stack)[stack->size() - count + i] = ArgumentOnCpu(given[i]);
  }
  op.callBoxed(stack);
  const size_t results = schema.returns().size();
  for (size_t i = 0; i < results; ++i) {
    c10::IValue& result = (*stack)[stack->size() - results + i];
    if (const auto argument = WrittenArgument(schema, i)) {
      result = given[*argument];
    } else if (result.isTensor()) {
      result = ToDevice(result.toTensor());
    }
  }
}

const c10::impl::DeviceGuardImplRegistrar guard(at::kCUDA, new Guard);
[[maybe_unused]] const bool registered = [] {
  c10::SetAllocator(at::kCUDA, Memory());
  at::CUDAHooksRegistry()->Register(
      "CUDAHooks",
      [](at::CUDAHooksArgs) -> std::unique_ptr<at::CUDAHooksInterface> {
        return std::make_unique<Hooks>();
      });
  return true;
}();

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", &Empty);
  library.impl("empty_strided", &EmptyStrided);
  library.impl("copy_", &Copy);
  library.impl("view", &at::native::view);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}
TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&RunOnCpu>());
}

}  // namespace

void SetFakeStream(int64_t id) { current_stream = id; }

void* FakeStreamHandle(int64_t id) {
  return reinterpret_cast<void*>(0x1000 + id);
}

FakeCuda::FakeCuda() : backend_(cuda::MakeFakeCudaBackend()) {
  cuda::SetCudaBackend(backend_.get());
  device().streams.clear();
  device().workspaces.clear();
}

FakeCuda::~FakeCuda() {
  cuda::SetCudaBackend(nullptr);
  SetFakeStream(0);
}

}  // namespace rattn
