// Where tensors of a backend lie, and whether LibTorch can use it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "kernels/backend.h"

namespace rattn {

// The backend's device; the CPU also for nullptr.
at::Device DeviceOf(const Backend* backend);

// Why LibTorch cannot use the device; empty: it can. Loads LibTorch's part for
// devices of that kind, which a build for the CPU lacks.
std::string WhyUnusable(at::Device device);

}  // namespace rattn
