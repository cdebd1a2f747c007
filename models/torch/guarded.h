// LibTorch's exceptions at the edge of this folder.
#pragma once

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "models/error.h"

namespace rattn {

// f(), with LibTorch's errors and failed allocations as RunError. Theirs carry
// a stack trace: callers get the first line.
template <typename F>
auto Guarded(const F& f) {
  try {
    return f();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    throw RunError("LibTorch: " + text.substr(0, text.find('\n')));
  } catch (const std::bad_alloc&) {
    throw RunError("out of memory: use a smaller model, batch or length");
  }
}

}  // namespace rattn
