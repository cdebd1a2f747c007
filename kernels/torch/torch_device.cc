#include "kernels/torch/torch_device.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>

namespace rattn {

std::string WhyUnusable(at::Device device) {
  if (device.is_cpu()) return "";
  const std::string kind =
      c10::DeviceTypeName(device.type(), /*lower_case=*/true);
  if (!c10::impl::hasDeviceGuardImpl(device.type())) {
    const std::string part = fmt::format("libtorch_{}.so", kind);
    if (dlopen(part.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      return fmt::format(
          "LibTorch's part for it could not be loaded ({}): give a complete "
          "LibTorch 2.11 for {} as LIBTORCH_DIR",
          dlerror(), kind);
    }
  }
  if (!c10::impl::hasDeviceGuardImpl(device.type()) ||
      c10::impl::getDeviceGuardImpl(device.type())->deviceCount() <=
          device.index()) {
    return fmt::format("LibTorch's part for {} does not see it", kind);
  }
  return "";
}

at::Device DeviceOf(const Backend* backend) {
  if (backend == nullptr || backend->device_calls() == nullptr) return at::kCPU;
  return at::Device(fmt::format("{}:{}", backend->name(),
                                backend->device_calls()->device_index()));
}

}  // namespace rattn
