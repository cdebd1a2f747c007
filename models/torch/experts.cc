#include "models/torch/experts.h"

#include <ATen/ATen.h>

#include <tuple>

namespace rattn {

at::Tensor MixExperts(const at::Tensor& h, const at::Tensor& logits,
                      int64_t active, const ExpertBlock& block) {
  const auto [top, chosen] = at::topk(logits, active, 1);
  const at::Tensor shares = top.softmax(1);
  at::Tensor sum = at::zeros(h.sizes(), shares.options());
  for (int64_t e = 0; e < logits.size(1); ++e) {
    const at::Tensor found = at::nonzero(chosen == e);  // pairs row, rank
    if (found.size(0) == 0) continue;
    const at::Tensor rows = found.select(1, 0), rank = found.select(1, 1);
    const at::Tensor share = shares.index({rows, rank}).unsqueeze(1);
    const at::Tensor out = block(h.index_select(0, rows), e);
    sum = sum.index_add(0, rows, out.to(share.scalar_type()) * share);
  }
  return sum;
}

}  // namespace rattn
