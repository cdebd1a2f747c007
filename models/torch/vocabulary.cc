#include "models/torch/vocabulary.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/weight_product.h"
#include "models/error.h"
#include "models/torch/products.h"
#include "models/torch/row_math.h"

namespace rattn {
namespace {

// Fixed sizes: partial sums are added up in one order.
constexpr int64_t kColumns = 2048;
constexpr int64_t kRows = 256;

// One row's logits in one piece of the vocabulary.
struct Partial {
  float top_logit = 0;
  int32_t top = 0;
  double sum = 0;  // of exp(logit - top_logit)
  float target = 0;
};

Partial ScoreRow(float* logits, int64_t columns, int64_t first, int32_t target,
                 double softcap) {
  if (softcap > 0) {
    const float cap = static_cast<float>(softcap);
    for (int64_t c = 0; c < columns; ++c) {
      logits[c] = std::tanh(logits[c] / cap) * cap;
    }
  }
  const float* top = std::max_element(logits, logits + columns);
  Partial partial;
  partial.top_logit = *top;
  partial.top = static_cast<int32_t>(first + (top - logits));
  if (target >= first && target < first + columns) {
    partial.target = logits[target - first];
  }
  for (int64_t c = 0; c < columns; ++c) logits[c] -= partial.top_logit;
  Exps(logits, columns);
  for (int64_t c = 0; c < columns; ++c) partial.sum += logits[c];
  return partial;
}

TokenScore Combine(const Partial* partials, int64_t pieces, int32_t target) {
  const Partial* top = partials;
  for (int64_t p = 1; p < pieces; ++p) {
    if (partials[p].top_logit > top->top_logit) top = partials + p;
  }
  double sum = 0;
  for (int64_t p = 0; p < pieces; ++p) {
    sum += partials[p].sum *
           std::exp(double{partials[p].top_logit} - top->top_logit);
  }
  if (!std::isfinite(sum) || !std::isfinite(top->top_logit)) {
    throw RunError(
        "the model's logits are not finite: its weights or its dtype are at "
        "fault; try fp32");
  }
  TokenScore score{0, top->top};
  if (target >= 0) {
    score.log_prob = double{partials[target / kColumns].target} -
                     top->top_logit - std::log(sum);
  }
  return score;
}

void ScoreRows(const at::Tensor& hidden, const at::Tensor& head,
               int64_t vocab_size, double softcap,
               std::span<const int32_t> targets, TokenScore* scores) {
  const int64_t rows = hidden.size(0);
  const int64_t pieces = (vocab_size + kColumns - 1) / kColumns;
  std::vector<Partial> partials(rows * pieces);
  at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    const c10::InferenceMode inference;
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kColumns;
      const int64_t columns = std::min(kColumns, vocab_size - first);
      const at::Tensor part =
          head.narrow(0, first / kPanelColumns,
                      (columns + kPanelColumns - 1) / kPanelColumns);
      const at::Tensor logits = Product(hidden, part, columns);
      float* row = logits.mutable_data_ptr<float>();
      for (int64_t r = 0; r < rows; ++r, row += columns) {
        partials[r * pieces + p] =
            ScoreRow(row, columns, first, targets[r], softcap);
      }
    }
  });
  for (int64_t r = 0; r < rows; ++r) {
    scores[r] = Combine(partials.data() + r * pieces, pieces, targets[r]);
  }
}

}  // namespace

std::vector<TokenScore> ScoreTokens(const at::Tensor& hidden,
                                    const at::Tensor& head, int64_t vocab_size,
                                    double softcap,
                                    std::span<const int32_t> targets) {
  std::vector<TokenScore> scores(targets.size());
  const int64_t rows = hidden.size(0);
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    ScoreRows(hidden.narrow(0, first, count).to(head.scalar_type()), head,
              vocab_size, softcap, targets.subspan(first, count),
              scores.data() + first);
  }
  return scores;
}

}  // namespace rattn
