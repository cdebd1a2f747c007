#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/weight_product.h"
#include "kernels/kv_cache.h"
#include "kernels/random.h"

namespace rattn {
namespace {

struct Case {
  int64_t rows, width, depth;
};

// A matrix of random values, kept in the dtype.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t columns, Dtype dtype, uint64_t stream)
      : columns_(columns),
        dtype_(dtype),
        bytes_(static_cast<size_t>(rows * columns) * ByteSize(dtype)) {
    const Philox random(7, stream);
    for (int64_t i = 0; i < rows * columns; ++i) {
      const auto x =
          static_cast<float>(random.Normal(static_cast<uint64_t>(i)));
      if (dtype == Dtype::kF32) {
        static_cast<float*>(bytes_.data())[i] = x;
      } else {
        static_cast<Bf16*>(bytes_.data())[i] = ToBf16(x);
      }
    }
  }
  double At(int64_t r, int64_t c) const {
    const int64_t i = r * columns_ + c;
    return dtype_ == Dtype::kF32
               ? static_cast<const float*>(bytes_.data())[i]
               : ToFloat(static_cast<const Bf16*>(bytes_.data())[i]);
  }
  const void* Row(int64_t r) const {
    return static_cast<const std::byte*>(bytes_.data()) +
           static_cast<size_t>(r * columns_) * ByteSize(dtype_);
  }

 private:
  int64_t columns_;
  Dtype dtype_;
  AlignedBuffer bytes_;
};

struct Panels {
  Panels(const Matrix& w, int64_t width, int64_t depth, Dtype dtype)
      : count((width + kPanelColumns - 1) / kPanelColumns),
        bytes(static_cast<size_t>(count * PanelElements(depth, dtype)) *
              ByteSize(dtype)) {
    PackWeight(w.Row(0), width, depth, dtype, bytes.data(), 2);
  }
  int64_t count;
  AlignedBuffer bytes;
};

// Rows `first` and following of y, [rows, 32 panels].
std::vector<float> Multiply(const Matrix& x, int64_t first, const Case& c,
                            Dtype dtype, const Panels& panels, int threads) {
  const int64_t ld = panels.count * kPanelColumns;
  const AlignedBuffer y(static_cast<size_t>(ProductRows(c.rows) * ld) * 4);
  // What scratch memory holds before must not matter.
  const AlignedBuffer scratch(
      WeightProductScratch(c.rows, c.depth, dtype, threads) + 64);
  std::memset(scratch.data(), 0xff, scratch.size());
  WeightProduct({x.Row(first), c.rows, c.depth, dtype, panels.bytes.data(),
                 panels.count, static_cast<float*>(y.data()), scratch.data(),
                 threads});
  const auto* at = static_cast<const float*>(y.data());
  return {at, at + c.rows * ld};
}

class WeightProducts : public testing::TestWithParam<Dtype> {
 protected:
  void TearDown() override { ForceIsa(""); }
};

// Against fp64, with the rounding of fp32 sums of `depth` terms.
TEST_P(WeightProducts, EqualTheDefinitionOnEveryIsa) {
  constexpr Case kCases[] = {{1, 64, 32},    {1, 1, 1},     {3, 33, 8},
                             {7, 100, 50},   {16, 32, 100}, {37, 72, 1100},
                             {29, 31, 2049}, {50, 65, 64}};
  for (const std::string_view isa : AvailableIsas()) {
    ASSERT_TRUE(ForceIsa(isa));
    for (const Case& c : kCases) {
      SCOPED_TRACE(testing::Message() << isa << " " << c.rows << " x "
                                      << c.width << " x " << c.depth);
      const Matrix x(c.rows, c.depth, GetParam(), 0);
      const Matrix w(c.width, c.depth, GetParam(), 1);
      const Panels panels(w, c.width, c.depth, GetParam());
      const auto y = Multiply(x, 0, c, GetParam(), panels, 2);
      for (int64_t r = 0; r < c.rows; ++r) {
        for (int64_t n = 0; n < c.width; ++n) {
          double sum = 0, size = 0;
          for (int64_t k = 0; k < c.depth; ++k) {
            sum += x.At(r, k) * w.At(n, k);
            size += std::abs(x.At(r, k) * w.At(n, k));
          }
          const double got = y[r * panels.count * kPanelColumns + n];
          ASSERT_NEAR(got, sum, 1e-6 * size + 1e-30) << r << ", " << n;
        }
      }
    }
  }
}

TEST_P(WeightProducts, RowsDependNeitherOnEachOtherNorOnThreads) {
  const Case all{309, 96, 1500};
  const Matrix x(all.rows, all.depth, GetParam(), 2);
  const Matrix w(all.width, all.depth, GetParam(), 3);
  for (const std::string_view isa : AvailableIsas()) {
    ASSERT_TRUE(ForceIsa(isa));
    const Panels panels(w, all.width, all.depth, GetParam());
    const auto wanted = Multiply(x, 0, all, GetParam(), panels, 1);
    for (const int64_t rows : {1, 2, 3, 5, 8, 15, 16, 17, 31, 131, 260}) {
      const int64_t first = all.rows - rows;
      const auto got = Multiply(x, first, {rows, all.width, all.depth},
                                GetParam(), panels, 3);
      EXPECT_TRUE(std::equal(got.begin(), got.end(),
                             wanted.begin() + first * all.width))
          << isa << ", " << rows << " rows";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, WeightProducts,
                         testing::Values(Dtype::kF32, Dtype::kBF16),
                         [](const auto& info) {
                           return std::string(Name(info.param));
                         });

}  // namespace
}  // namespace rattn
