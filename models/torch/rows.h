// Row loops of the fused operations. Work is cut into blocks of a fixed number
// of rows, so that sums over rows do not depend on the thread count.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
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

// exp of a float in a form that compilers vectorise: 2^n by the exponent bits,
// the rest by a polynomial (Cephes expf); relative error below 2e-7 in
// [-87, 88], clamped outside.
inline float Exp(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are n
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float y = (p * r) * r + r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) << 23;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(y) + exponent);
}
inline double Exp(double x) { return std::exp(x); }

// The type in which sums over elements of T are kept.
template <typename T>
using SumType = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace rattn
