#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tile_ops_test.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/tile_ops-inl.h"

#ifndef RATTN_TILE_OPS_TEST_ONCE
#define RATTN_TILE_OPS_TEST_ONCE
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/random.h"

namespace rattn {
namespace {

std::vector<float> Random(size_t n, uint64_t stream) {
  const Philox philox(7, stream);
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = philox.Normal(i);
  return x;
}

}  // namespace
}  // namespace rattn
#endif  // RATTN_TILE_OPS_TEST_ONCE

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

enum class Form { kNN, kNT, kTN };

// One product against double loops; leading dimensions larger than the rows
// prove that nothing outside the block is written.
inline void CheckGemm(Form form, int64_t m, int64_t n, int64_t k,
                      bool accumulate) {
  SCOPED_TRACE(testing::Message()
               << hwy::TargetName(HWY_TARGET) << " form " << int(form) << " m "
               << m << " n " << n << " k " << k << " add " << accumulate);
  const int64_t lda = (form == Form::kTN ? m : k) + 3;
  const int64_t ldb = (form == Form::kNT ? k : n) + 5;
  const int64_t ldc = n + 2;
  const auto a = Random(lda * (form == Form::kTN ? k : m) + 1, 1);
  const auto b = Random(ldb * (form == Form::kNT ? n : k) + 1, 2);
  const auto before = Random(ldc * m + 1, 3);
  auto c = before;
  const auto gemm = form == Form::kNN   ? GemmNN
                    : form == Form::kNT ? GemmNT
                                        : GemmTN;
  gemm(m, n, k, a.data(), lda, b.data(), ldb, c.data(), ldc, accumulate);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      double want = accumulate || j >= n ? before[i * ldc + j] : 0;
      for (int64_t p = 0; p < k && j < n; ++p) {
        const double x = form == Form::kTN ? a[p * lda + i] : a[i * lda + p];
        const double y = form == Form::kNT ? b[j * ldb + p] : b[p * ldb + j];
        want += x * y;
      }
      ASSERT_NEAR(c[i * ldc + j], want, 1e-6 * (8 + k)) << i << "," << j;
    }
  }
}

void TestGemms() {
  for (const Form form : {Form::kNN, Form::kNT, Form::kTN}) {
    for (const bool accumulate : {false, true}) {
      for (const int64_t m : {0, 1, 2, 3, 4, 5, 6, 7, 11, 13, 64}) {
        for (const int64_t n : {1, 3, 8, 15, 16, 17, 33, 64, 79, 128}) {
          for (const int64_t k : {0, 1, 2, 7, 8, 31, 130}) {
            CheckGemm(form, m, n, k, accumulate);
          }
        }
      }
      CheckGemm(form, 9, 70, 1100, accumulate);  // deeper than a packed strip
    }
  }
}

void TestRowValues() {
  for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 100, 513}) {
    const auto x = Random(n, n);
    EXPECT_EQ(RowMax(x.data(), n), *std::max_element(x.begin(), x.end()));
    auto z = Random(n, 1);
    const auto z0 = z;
    ScaleRow(0.5f, x.data(), n, z.data(), true);
    EXPECT_NEAR(z[n - 1], z0[n - 1] + 0.5 * x[n - 1], 1e-6);
    ScaleRow(2.f, x.data(), n, z.data(), false);
    EXPECT_EQ(z[n - 1], 2 * x[n - 1]);
  }
}

template <typename T>
void CheckRows(Dtype dtype, int64_t inner_stride) {
  constexpr int64_t kB = 2, kT = 5, kH = 3, kD = 24;
  std::vector<T> storage(kB * kT * kH * kD * inner_stride);
  TensorView view{storage.data(), dtype, {kB, kT, kH, kD}, {}};
  // Heads outside, and an element stride that may leave gaps.
  view.stride = {kT * kH * kD * inner_stride, kD * inner_stride,
                 kT * kD * inner_stride, inner_stride};
  const auto values = Random(storage.size(), 5);
  for (int64_t t = 0, i = 0; t < kT; ++t) {
    for (int64_t c = 0; c < kD; ++c) view.Set(1, t, 2, c, values[i++]);
  }
  constexpr int64_t kLd = kD + 1;
  std::vector<float> block(3 * kLd, 9.f);
  LoadRows(view, 1, 2, 3, 2, 0.5f, block.data(), kLd);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t c = 0; c < kD; ++c) {
      EXPECT_EQ(block[t * kLd + c], 0.5f * view.Get(1, 2 + t, 2, c));
    }
    EXPECT_EQ(block[t * kLd + kD], 9.f);
  }
  auto want = storage;
  const TensorView expected{want.data(), dtype, view.shape, view.stride};
  block[0] = std::numeric_limits<float>::quiet_NaN();
  block[1] = std::numeric_limits<float>::infinity();
  block[2] = 1.00390625f;  // halfway between two bf16 values
  for (const bool accumulate : {false, true}) {
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t c = 0; c < kD; ++c) {
        const float old = accumulate ? expected.Get(1, 2 + t, 2, c) : 0;
        expected.Set(1, 2 + t, 2, c, block[t * kLd + c] + old);
      }
    }
    StoreRows(block.data(), kLd, view, 1, 2, 3, 2, accumulate);
    EXPECT_EQ(0, std::memcmp(want.data(), storage.data(),
                             storage.size() * sizeof(T)));
  }
}

void TestRows() {
  for (const int64_t stride : {1, 2}) {
    CheckRows<float>(Dtype::kF32, stride);
    CheckRows<Bf16>(Dtype::kBF16, stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {

HWY_EXPORT(TestGemms);
HWY_EXPORT(TestRowValues);
HWY_EXPORT(TestRows);

// Runs a test body once for every instruction set of this machine.
class TileOps : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(TileOps, GemmsEqualDoubleLoops) { HWY_DYNAMIC_DISPATCH(TestGemms)(); }
TEST_P(TileOps, RowValues) { HWY_DYNAMIC_DISPATCH(TestRowValues)(); }
TEST_P(TileOps, RowsOfStridedViews) { HWY_DYNAMIC_DISPATCH(TestRows)(); }

INSTANTIATE_TEST_SUITE_P(Isa, TileOps,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) {
                           return std::string(hwy::TargetName(info.param));
                         });

}  // namespace
}  // namespace rattn
#endif  // HWY_ONCE
