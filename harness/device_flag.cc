#include "harness/device_flag.h"

#include <fmt/format.h>

#include "harness/kind_fields.h"
#include "models/error.h"

namespace rattn {

std::string BackendOn(const std::string& device, const std::string& backend) {
  if (device.empty() || device == backend) return backend;
  const bool host = device == "cpu";
  if (!host && !RunsOnDevice(device)) {
    throw UserError(fmt::format("--device '{}' is none: cpu or cuda", device));
  }
  if (host ? RunsOnDevice(backend) : !backend.empty()) {
    throw UserError(fmt::format("--backend {} does not run on --device {}",
                                backend, device));
  }
  return host ? backend : device;
}

}  // namespace rattn
