// Combination of branch outputs against double loops.
#include "kernels/cpu/combine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/random.h"

namespace rattn {
namespace {

using Vec = std::vector<double>;

// A tensor that owns its bytes, filled with NaN.
struct Tensor {
  Tensor(std::array<int64_t, 4> shape, Dtype dtype)
      : bytes(shape[0] * shape[1] * shape[2] * shape[3] * ByteSize(dtype),
              char(0xFF)),
        view(Contiguous(bytes.data(), dtype, shape)) {}
  void Fill(uint64_t stream) const {
    const Philox philox(3, stream);
    Each([&](int64_t b, int64_t t, int64_t h, int64_t d, uint64_t n) {
      view.Set(b, t, h, d, philox.Normal(n));
    });
  }
  template <typename Body>
  void Each(const Body& body) const {
    uint64_t n = 0;
    for (int64_t b = 0; b < view.shape[0]; ++b) {
      for (int64_t t = 0; t < view.shape[1]; ++t) {
        for (int64_t h = 0; h < view.shape[2]; ++h) {
          for (int64_t d = 0; d < view.shape[3]; ++d) body(b, t, h, d, n++);
        }
      }
    }
  }
  std::vector<char> bytes;
  TensorView view;
};

struct Case {
  Case(Combine combine, int64_t value_dim, Dtype dtype)
      : o({2, 21, 4, value_dim}, dtype),
        d_o(o.view.shape, dtype),
        local(o.view.shape, Dtype::kF32),
        memory(o.view.shape, Dtype::kF32),
        d_local(o.view.shape, Dtype::kF32),
        d_memory(o.view.shape, Dtype::kF32),
        norm_local({1, 1, 4, value_dim}, Dtype::kF32),
        norm_memory(norm_local.view.shape, Dtype::kF32),
        d_norm_local(norm_local.view.shape, Dtype::kF32),
        d_norm_memory(norm_local.view.shape, Dtype::kF32) {
    problem.spec.local = {.kind = LocalKind::kWindow, .window_keys = 4};
    problem.spec.memory.kind = MemoryKind::kLinear;
    problem.spec.combine = combine;
    problem.dtype = dtype;
    problem.shape = {2, 4, 2, 21, 21, 8, value_dim};
    uint64_t stream = 0;
    for (const Tensor* t : {&d_o, &local, &memory, &norm_local, &norm_memory}) {
      t->Fill(stream++);
    }
    // A row that read nothing, and heads that the branch does not own.
    for (int64_t c = 0; c < value_dim; ++c) memory.view.Set(1, 2, 3, c, 0);
    const auto poison = [&](const Tensor& x, HeadRange own) {
      x.Each([&](int64_t b, int64_t t, int64_t h, int64_t c, uint64_t) {
        if (h < own.begin || h >= own.end) x.view.Set(b, t, h, c, NAN);
      });
    };
    poison(local, LocalHeads(problem.spec, 4));
    poison(memory, MemoryHeads(problem.spec, 4));
    buffers.o = o.view;
    buffers.d_o = d_o.view;
    buffers.norm_local = norm_local.view;
    buffers.norm_memory = norm_memory.view;
    buffers.d_norm_local = d_norm_local.view;
    buffers.d_norm_memory = d_norm_memory.view;
  }

  void Run(int threads) {
    problem.threads = threads;
    CombineForward(problem, buffers, local.view, memory.view);
    if (!UsesNorms(problem.spec)) return;
    std::vector<char> scratch(CombineScratchBytes(problem) + 64, char(0xFF));
    char* base =
        scratch.data() + 64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64;
    CombineBackward(problem, buffers, local.view, memory.view, d_local.view,
                    d_memory.view, {base, scratch.size() - 64});
  }

  Problem problem;
  Buffers buffers;
  Tensor o, d_o, local, memory, d_local, d_memory;
  Tensor norm_local, norm_memory, d_norm_local, d_norm_memory;
};

double InverseRms(const Vec& x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  return 1 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-8);
}

// Loss sum(o * d_o) of one normed row, for differences.
double NormedRow(const Vec& x, const Vec& scale, const Vec& d_o) {
  double loss = 0;
  for (size_t i = 0; i < x.size(); ++i) loss += d_o[i] * x[i] * scale[i];
  return loss * InverseRms(x);
}

Vec RowOf(const Tensor& t, int64_t b, int64_t i, int64_t h) {
  Vec row(t.view.shape[3]);
  for (size_t c = 0; c < row.size(); ++c) row[c] = t.view.Get(b, i, h, c);
  return row;
}

double Weight(Combine combine) {
  return combine == Combine::kMeanOfNorms ? 0.5 : 1;
}

// o, row by row.
void CheckForward(const Case& c, double tolerance) {
  const Shape& shape = c.problem.shape;
  const HeadRange heads[2] = {LocalHeads(c.problem.spec, 4),
                              MemoryHeads(c.problem.spec, 4)};
  const Tensor* xs[2] = {&c.local, &c.memory};
  const Tensor* norms[2] = {&c.norm_local, &c.norm_memory};
  for (int64_t row = 0; row < shape.batch * shape.query_len * 4; ++row) {
    const int64_t b = row / 4 / shape.query_len;
    const int64_t t = row / 4 % shape.query_len, h = row % 4;
    Vec want(shape.value_dim);
    for (int k = 0; k < 2; ++k) {
      if (h < heads[k].begin || h >= heads[k].end) continue;
      const Vec x = RowOf(*xs[k], b, t, h), scale = RowOf(*norms[k], 0, 0, h);
      const double factor = Weight(c.problem.spec.combine) *
                            (UsesNorms(c.problem.spec) ? InverseRms(x) : 1);
      for (size_t i = 0; i < x.size(); ++i) {
        want[i] += factor * x[i] * (UsesNorms(c.problem.spec) ? scale[i] : 1);
      }
    }
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(c.o.view.Get(b, t, h, i), want[i],
                  tolerance * (1 + std::abs(want[i])));
    }
  }
}

void CheckBackward(const Case& c, const HeadRange& heads, const Tensor& x,
                   const Tensor& norm, const Tensor& d_x,
                   const Tensor& d_norm) {
  constexpr double kStep = 1e-5;
  const double weight = Weight(c.problem.spec.combine);
  const int64_t dim = c.problem.shape.value_dim;
  for (int64_t h = 0; h < 4; ++h) {
    const bool own = h >= heads.begin && h < heads.end;
    const Vec scale = RowOf(norm, 0, 0, h);
    Vec want_norm(dim);
    for (int64_t n = 0; own && n < 2 * 21; ++n) {
      const Vec row = RowOf(x, n / 21, n % 21, h);
      const Vec d_o = RowOf(c.d_o, n / 21, n % 21, h);
      const double inverse = InverseRms(row);
      for (int64_t i = 0; i < dim; ++i) {
        want_norm[i] += weight * d_o[i] * row[i] * inverse;
        // Differences say nothing about a row of zeros.
        if (i % 37 != 0 || row == Vec(dim)) continue;
        Vec up = row, down = row;
        up[i] += kStep;
        down[i] -= kStep;
        const double slope =
            weight * (NormedRow(up, scale, d_o) - NormedRow(down, scale, d_o)) /
            (2 * kStep);
        ASSERT_NEAR(d_x.view.Get(n / 21, n % 21, h, i), slope,
                    2e-5 * (1 + std::abs(slope)));
      }
    }
    for (int64_t i = 0; i < dim; ++i) {
      ASSERT_NEAR(d_norm.view.Get(0, 0, h, i), want_norm[i],
                  1e-5 * (1 + std::abs(want_norm[i])));
    }
  }
}

class Combinations
    : public testing::TestWithParam<std::tuple<Combine, int64_t, Dtype>> {};

TEST_P(Combinations, EqualDoubleLoops) {
  const auto [combine, dim, dtype] = GetParam();
  Case c(combine, dim, dtype);
  c.Run(1);
  // The scalar target sums the 520 squares in one chain: 1.4e-6 was seen.
  CheckForward(c, dtype == Dtype::kF32 ? 2e-6 : 4e-3);
  if (!UsesNorms(c.problem.spec)) return;
  const MixerSpec& spec = c.problem.spec;
  CheckBackward(c, LocalHeads(spec, 4), c.local, c.norm_local, c.d_local,
                c.d_norm_local);
  CheckBackward(c, MemoryHeads(spec, 4), c.memory, c.norm_memory, c.d_memory,
                c.d_norm_memory);
}

TEST_P(Combinations, SameBitsForEveryThreadCount) {
  const auto [combine, dim, dtype] = GetParam();
  Case one(combine, dim, dtype), many(combine, dim, dtype);
  one.Run(1);
  many.Run(7);
  EXPECT_EQ(one.o.bytes, many.o.bytes);
  EXPECT_EQ(one.d_local.bytes, many.d_local.bytes);
  EXPECT_EQ(one.d_memory.bytes, many.d_memory.bytes);
  EXPECT_EQ(one.d_norm_local.bytes, many.d_norm_local.bytes);
  EXPECT_EQ(one.d_norm_memory.bytes, many.d_norm_memory.bytes);
}

// 520 is longer than a piece on the stack.
INSTANTIATE_TEST_SUITE_P(
    All, Combinations,
    testing::Combine(testing::Values(Combine::kSum, Combine::kSumOfNorms,
                                     Combine::kMeanOfNorms,
                                     Combine::kSplitHeads),
                     testing::Values(8, 40, 520),
                     testing::Values(Dtype::kF32, Dtype::kBF16)));

TEST(Combine, SingleBranchIsNormedAsWell) {
  Case c(Combine::kSumOfNorms, 16, Dtype::kF32);
  c.problem.spec.local = {};
  c.buffers.d_norm_local = {};
  c.Run(2);
  CheckForward(c, 1e-6);
  CheckBackward(c, {0, 4}, c.memory, c.norm_memory, c.d_memory,
                c.d_norm_memory);
}

TEST(Combine, ScalesAreOptional) {
  Case with(Combine::kSumOfNorms, 24, Dtype::kF32);
  Case without(Combine::kSumOfNorms, 24, Dtype::kF32);
  with.norm_local.Each([&](int64_t, int64_t, int64_t h, int64_t c, uint64_t) {
    with.norm_local.view.Set(0, 0, h, c, 1);
    with.norm_memory.view.Set(0, 0, h, c, 1);
  });
  without.buffers.norm_local = without.buffers.norm_memory = {};
  without.buffers.d_norm_local = {};
  with.Run(1);
  without.Run(1);
  EXPECT_EQ(with.o.bytes, without.o.bytes);
  EXPECT_EQ(with.d_local.bytes, without.d_local.bytes);
  EXPECT_EQ(with.d_norm_memory.bytes, without.d_norm_memory.bytes);
}

TEST(Combine, ZeroRowsStayZero) {
  Case c(Combine::kSumOfNorms, 8, Dtype::kF32);
  c.problem.spec.local = {};
  c.Run(1);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(c.o.view.Get(1, 2, 3, i), 0);
}

}  // namespace
}  // namespace rattn
