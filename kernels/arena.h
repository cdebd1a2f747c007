// Pieces of a workspace.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// Hands out cache-line aligned pieces of a workspace. On a null base it only
// counts, so that the query for the size and the use are the same code.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<std::byte*>(base)) {}

  template <typename T>
  T* Take(int64_t count) {
    used_ = (used_ + kLine - 1) / kLine * kLine;
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += static_cast<size_t>(count) * sizeof(T);
    return reinterpret_cast<T*>(at);
  }
  size_t used() const { return used_; }
  // What the arena has not handed out of `workspace`, on which it stands.
  Workspace Rest(Workspace workspace) const {
    const size_t used = (used_ + kLine - 1) / kLine * kLine;
    return {base_ + used, workspace.bytes - used};
  }

 private:
  static constexpr size_t kLine = 64;
  std::byte* base_;
  size_t used_ = 0;
};

// Whole cache lines that take(Arena*) takes.
template <typename Take>
size_t BytesOf(const Take& take) {
  Arena arena(nullptr);
  take(&arena);
  arena.Take<std::byte>(0);
  return arena.used();
}

}  // namespace rattn
