#include "harness/backends.h"

#include "kernels/backend.h"
#include "models/runtime.h"

namespace rattn {

void ConnectTorchBackend() {
  SetTorchBackendLoader([](std::string* reason) -> const Backend* {
    try {
      return GetModelRuntime().torch_backend();
    } catch (const std::exception& error) {
      *reason = error.what();
      return nullptr;
    }
  });
}

}  // namespace rattn
