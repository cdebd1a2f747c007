// A library of NVIDIA's, by name: no header and nothing to link is needed.
#pragma once

#include <dlfcn.h>

namespace rattn::cuda {

class SharedLibrary {
 public:
  explicit SharedLibrary(const char* path)
      : library_(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {}
  explicit operator bool() const { return library_ != nullptr; }

  // Functions return 0 or an error number.
  template <typename... Arguments>
  int Call(const char* name, Arguments... arguments) const {
    constexpr int kNotFound = 500;  // CUDA_ERROR_NOT_FOUND
    if (library_ == nullptr) return kNotFound;
    const auto function =
        reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, name));
    return function == nullptr ? kNotFound : function(arguments...);
  }

 private:
  void* library_;
};

}  // namespace rattn::cuda
