// Row loops of the fused operations. Work is cut into blocks of a fixed number
// of rows, so that sums over rows do not depend on the thread count.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace rattn {

inline constexpr int64_t kRowsPerBlock = 64;

inline int64_t RowBlocks(int64_t rows) {
  return (rows + kRowsPerBlock - 1) / kRowsPerBlock;
}

// Calls body(block, first_row, last_row) for every block of rows.
template <typename Body>
void ForRowBlocks(int64_t rows, const Body& body) {
  at::parallel_for(0, RowBlocks(rows), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kRowsPerBlock;
      body(block, first, std::min(first + kRowsPerBlock, rows));
    }
  });
}

// One partial sum [width] per block of rows, added up in block order.
template <typename T>
class BlockSums {
 public:
  BlockSums(int64_t rows, int64_t width)
      : width_(width), sums_(RowBlocks(rows) * width, T{0}) {}
  T* Of(int64_t block) { return sums_.data() + block * width_; }
  void AddUp(T* total) const {
    std::fill(total, total + width_, T{0});
    for (size_t at = 0; at < sums_.size(); at += width_) {
      for (int64_t i = 0; i < width_; ++i) total[i] += sums_[at + i];
    }
  }

 private:
  int64_t width_;
  std::vector<T> sums_;
};

// The type in which sums over elements of T are kept.
template <typename T>
using SumType = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace rattn
