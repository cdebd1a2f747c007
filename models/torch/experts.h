// A mixture of feed-forward blocks of which every token uses a few (Mixtral,
// arXiv 2401.04088, section 2.1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace rattn {

// f(rows, expert): an expert's block on rows of h.
using ExpertBlock = std::function<at::Tensor(const at::Tensor&, int64_t)>;

// Sum over each row's `active` likeliest experts of softmax(router logits,
// among those) times the block's output. h [N, M], logits [N, E]; [N, M] in
// fp32 (fp64). Rows do not depend on each other. Differentiable.
at::Tensor MixExperts(const at::Tensor& h, const at::Tensor& logits,
                      int64_t active, const ExpertBlock& block);

}  // namespace rattn
