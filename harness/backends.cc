#include "harness/backends.h"

#include "kernels/backend.h"
#include "models/runtime.h"

namespace rattn {

void ConnectTorchBackend() {
  SetTorchBackendLoader([](std::string* reason) -> const Backend* {
    try {
      const Backend* backend = GetModelRuntime().torch_backend();
      if (backend == nullptr) *reason = "the model layer has no such backend";
      return backend;
    } catch (const std::exception& error) {
      *reason = error.what();
      return nullptr;
    }
  });
}

}  // namespace rattn
