// Hands out pieces of a workspace; without memory it only counts, so that
// sizing a workspace and using it are the same code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rattn::reference {

class Scratch {
 public:
  explicit Scratch(void* base) : base_(static_cast<double*>(base)) {}

  double* Take(int64_t count) {
    double* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count + 7) / 8 * 8;  // keeps pieces on cache lines
    return piece;
  }
  size_t bytes() const { return static_cast<size_t>(used_) * sizeof(double); }

 private:
  double* base_;
  int64_t used_ = 0;
};

}  // namespace rattn::reference
