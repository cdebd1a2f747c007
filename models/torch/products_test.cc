#include "models/torch/products.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "models/torch/vocabulary.h"

namespace rattn {
namespace {

class Products : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(1); }
  at::Tensor Random(std::vector<int64_t> shape) const {
    return at::randn(shape).to(GetParam());
  }
};

TEST_P(Products, EqualThePlainProductWithinRounding) {
  const double tolerance = GetParam() == at::kFloat ? 1e-4 : 0.3;
  for (const auto& [width, depth] :
       {std::pair{64, 32}, std::pair{200, 576}, std::pair{1, 8}}) {
    const at::Tensor x = Random({37, depth}), w = Random({width, depth});
    const at::Tensor wanted = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
    const at::Tensor got = Product(x, PackPanels(w), width);
    EXPECT_EQ(got.sizes(), wanted.sizes());
    EXPECT_LT((got.to(at::kDouble) - wanted).abs().max().item<double>(),
              tolerance);
  }
}

TEST_P(Products, RowsDoNotDependOnEachOtherOrOnThreads) {
  for (const auto& [width, depth] :
       {std::pair{960, 576}, std::pair{576, 1536}, std::pair{300, 640}}) {
    const at::Tensor x = Random({100, depth}), w = Random({width, depth});
    const at::Tensor packed = PackPanels(w);
    const at::Tensor all = Product(x, packed, width);
    for (const int64_t rows : {1, 2, 3, 5, 16, 33, 64, 99}) {
      EXPECT_TRUE(at::equal(
          Product(x.narrow(0, 100 - rows, rows).contiguous(), packed, width),
          all.narrow(0, 100 - rows, rows)))
          << rows << " rows, " << width << " by " << depth;
    }
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    EXPECT_TRUE(at::equal(Product(x, packed, width), all));
    at::set_num_threads(threads);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Products,
                         testing::Values(at::kFloat, at::kBFloat16));

TEST(Vocabulary, ScoresEqualLogSoftmax) {
  at::manual_seed(2);
  const int64_t vocab = 5000;
  const at::Tensor h = at::randn({7, 64}), head = at::randn({vocab, 64});
  const std::vector<int32_t> targets = {0, 1, 2047, 2048, 4999, -1, 77};
  for (const double cap : {0.0, 5.0}) {
    at::Tensor logits = at::mm(h.to(at::kDouble), head.to(at::kDouble).t());
    if (cap > 0) logits = (logits / cap).tanh() * cap;
    const at::Tensor wanted = logits.log_softmax(1);
    const std::vector<TokenScore> scores =
        ScoreTokens(h, PackPanels(head), vocab, cap, targets);
    for (size_t r = 0; r < targets.size(); ++r) {
      EXPECT_EQ(scores[r].top, logits[r].argmax().item<int64_t>());
      if (targets[r] < 0) continue;
      EXPECT_NEAR(scores[r].log_prob, wanted[r][targets[r]].item<double>(),
                  2e-5);
    }
  }
}

}  // namespace
}  // namespace rattn
