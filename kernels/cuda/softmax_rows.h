// The end of a softmax kernel: rows that have seen all their keys.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/online_softmax.h"
#include "kernels/cuda/query_rows.h"

namespace rattn::cuda {

// Stores what `p` (SoftmaxForward::Params) asks for of row `row`, which is row
// `half` of this lane's accumulators with sum of weights `sum`. Returns what
// its weighted values are multiplied with.
template <class Exec, class Params, int kDim>
RATTN_FN float FinishSoftmaxRow(Exec& x, const Params& p, const QueryRows& rows,
                                int64_t row, int half, float sum,
                                const OnlineSoftmax<kDim>& softmax) {
  const int64_t token = rows.Token(row), head = rows.Head(row);
  const float sink =
      p.sink_logit ? x.Load(p.sink_logit, 0, 0, 0, head) : kMinusInfinity;
  const SoftmaxRow whole =
      FinishSoftmax(x, softmax.top_score[half] * p.scale, sum, sink);
  StoreOutputRow(x, p.o, p.o_wide, {x.block(2), token, head}, p.value_dim, half,
                 whole.factor, softmax.o);
  if (x.lane() % 4 != 0) return whole.factor;
  if (p.lse) x.Store(p.lse, x.block(2), token, head, 0, whole.lse);
  if (p.max_logits) {
    x.Store(p.max_logits, x.block(2), token, head, 0, whole.top);
  }
  return whole.factor;
}

}  // namespace rattn::cuda
