// Every fused operation against its plain definition, outputs and gradients.
#include "models/torch/ops.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "models/torch/test_tensors.h"

namespace rattn {
namespace {

using Inputs = std::vector<at::Tensor>;
using Operation = std::function<at::Tensor(const Inputs&)>;

struct Results {
  at::Tensor output;
  Inputs gradients;
};

Results RunOperation(const Operation& f, const Inputs& inputs,
                     at::ScalarType type) {
  Inputs leaves;
  for (const at::Tensor& t : inputs) leaves.push_back(Leaf(t.to(type)));
  Results r;
  r.output = f(leaves);
  const at::Tensor cotangent =
      RandomTensor(r.output.sizes(), 99, r.output.scalar_type());
  torch::autograd::backward({r.output}, {cotangent});
  for (const at::Tensor& leaf : leaves) r.gradients.push_back(leaf.grad());
  return r;
}

// 130 rows: two full blocks of the row loops and a part of one.
constexpr int64_t kRows = 130;

void ExpectSame(const Operation& fused, const Operation& plain,
                const Inputs& inputs) {
  const Results want = RunOperation(plain, inputs, at::kDouble);
  const std::pair<at::ScalarType, double> limits[] = {
      {at::kDouble, 1e-13}, {at::kFloat, 1e-6}, {at::kBFloat16, 2e-2}};
  for (const auto& [type, limit] : limits) {
    SCOPED_TRACE(at::toString(type));
    const Results got = RunOperation(fused, inputs, type);
    EXPECT_LT(RelativeRms(got.output, want.output), limit);
    ASSERT_EQ(got.gradients.size(), want.gradients.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      ASSERT_TRUE(got.gradients[i].defined());
      EXPECT_LT(RelativeRms(got.gradients[i], want.gradients[i]), limit)
          << "gradient of input " << i;
    }
  }
}

// Norms read fp32 (fp64) and write the compute type.
at::ScalarType Wide(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

TEST(OpsTest, RmsNormIsItsDefinition) {
  ExpectSame(
      [](const Inputs& in) {
        const at::ScalarType type = in[0].scalar_type();
        return RmsNorm(in[0].to(Wide(type)), in[1].to(Wide(type)), 1e-3, type);
      },
      [](const Inputs& in) {
        return in[0] / (in[0].square().mean(1, true) + 1e-3).sqrt() * in[1];
      },
      {RandomTensor({kRows, 24}, 1), RandomTensor({24}, 2)});
}

TEST(OpsTest, GatesAreTheirDefinitions) {
  const Inputs inputs = {RandomTensor({kRows, 2 * 19}, 3) * 2};
  const auto plain = [](const std::function<at::Tensor(at::Tensor)>& gate) {
    return [gate](const Inputs& in) {
      return gate(in[0].narrow(1, 0, 19)) * in[0].narrow(1, 19, 19);
    };
  };
  ExpectSame([](const Inputs& in) { return GatedProduct(in[0], Gate::kSilu); },
             plain([](const at::Tensor& x) { return at::silu(x); }), inputs);
  ExpectSame([](const Inputs& in) { return GatedProduct(in[0], Gate::kGelu); },
             plain([](const at::Tensor& x) { return at::gelu(x, "tanh"); }),
             inputs);
}

TEST(OpsTest, LinearWithAndWithoutResidual) {
  const Inputs inputs = {RandomTensor({kRows, 16}, 4), RandomTensor({8, 16}, 5),
                         RandomTensor({kRows, 8}, 6)};
  const auto plain = [](const Inputs& in) {
    return in[2] + at::mm(in[0], in[1].t());
  };
  ExpectSame([](const Inputs& in) { return LinearAdd(in[2], in[0], in[1]); },
             plain, inputs);
  ExpectSame([](const Inputs& in) { return in[2] + Linear(in[0], in[1]); },
             plain, inputs);
}

TEST(OpsTest, CrossEntropyIsTheMeanOverRows) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kRows; ++i) ids.push_back((i * 7) % 11);
  const at::Tensor targets = at::tensor(ids, at::kInt);
  ExpectSame([&](const Inputs& in) { return MeanCrossEntropy(in[0], targets); },
             [&](const Inputs& in) {
               return -in[0]
                           .log_softmax(1)
                           .gather(1, targets.to(at::kLong).unsqueeze(1))
                           .mean();
             },
             {RandomTensor({kRows, 11}, 7) * 3});
}

TEST(OpsTest, EmbeddingAddsThePreviousToken) {
  std::vector<int32_t> ids, before;
  for (int32_t i = 0; i < 40; ++i) {
    ids.push_back(i * i % 9);
    before.push_back(i % 10 == 0 ? -1 : ids[i - 1]);
  }
  const at::Tensor tokens = at::tensor(ids, at::kInt);
  const at::Tensor previous = at::tensor(before, at::kInt);
  const at::Tensor index = tokens.to(at::kLong);
  const at::Tensor seen = (previous >= 0).to(at::kDouble).unsqueeze(1);
  const at::Tensor clamped = previous.clamp_min(0).to(at::kLong);
  ExpectSame(
      [&](const Inputs& in) { return Embed(tokens, previous, in[0], in[1]); },
      [&](const Inputs& in) {
        return in[0].index_select(0, index) +
               in[1].index_select(0, clamped) * seen;
      },
      {RandomTensor({9, 12}, 8), RandomTensor({9, 12}, 9)});
  ExpectSame(
      [&](const Inputs& in) {
        return Embed(tokens, previous, in[0], at::Tensor());
      },
      [&](const Inputs& in) { return in[0].index_select(0, index); },
      {RandomTensor({9, 12}, 8)});
}

}  // namespace
}  // namespace rattn
