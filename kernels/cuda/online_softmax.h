// Online softmax (arXiv 2205.14135) of the 16 rows of a warp: weighted values
// so far, relative to the largest score so far.
#pragma once

#include <cmath>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/tile.h"

namespace rattn::cuda {

RATTN_FN float Larger(float a, float b) { return a > b ? a : b; }

template <int kDim>
struct OnlineSoftmax {
  Accumulator o[kDim / 8] = {};
  float top_score[2] = {kMinusInfinity, kMinusInfinity};  // unscaled
  float sum[2] = {0, 0};  // of this lane's columns

  // Scores become weights relative to the largest score so far; `scale` of
  // scores is positive.
  template <class Exec, int kCount>
  RATTN_FN void ToWeights(Exec& x, float scale, Accumulator (&s)[kCount]) {
    ToWeights(x, scale, s,
              [this](int half, float factor) { Rescale(half, factor); });
  }
  // As above, but what is in o is for rescale(half, factor) to multiply.
  template <class Exec, int kCount, class RescaleRow>
  RATTN_FN void ToWeights(Exec& x, float scale, Accumulator (&s)[kCount],
                          const RescaleRow& rescale) {
    scale *= kLog2E;
    RATTN_UNROLL
    for (int half = 0; half < 2; ++half) {
      float top = top_score[half];
      RATTN_UNROLL
      for (int n = 0; n < kCount; ++n) {
        top = Larger(top, s[n].c[2 * half]);
        top = Larger(top, s[n].c[2 * half + 1]);
      }
      top = MaxOfRow(x, top);
      const float base = top == kMinusInfinity ? 0 : top * scale;
      const float factor = Exec::Exp2(top_score[half] * scale - base);
      sum[half] *= factor;
      rescale(half, factor);
      top_score[half] = top;
      RATTN_UNROLL
      for (int n = 0; n < kCount; ++n) {
        RATTN_UNROLL
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s[n].c[i] = Exec::Exp2(s[n].c[i] * scale - base);
          sum[half] += s[n].c[i];
        }
      }
    }
  }

  RATTN_FN void Rescale(int half, float factor) {
    RATTN_UNROLL
    for (int n = 0; n < kDim / 8; ++n) {
      o[n].c[2 * half] *= factor;
      o[n].c[2 * half + 1] *= factor;
    }
  }
};

// A whole row: what its weighted values are multiplied with, and its
// log-sum-exp. Rows that see nothing are zeros.
struct SoftmaxRow {
  float top = kMinusInfinity;  // scaled
  float lse = kMinusInfinity;
  float factor = 0;
};

// Of a row with this largest scaled score and sum of weights; the sink logit
// (minus infinity: none) joins the denominator.
template <class Exec>
RATTN_FN SoftmaxRow FinishSoftmax(const Exec&, float own_top, float sum,
                                  float sink_logit) {
  SoftmaxRow row;
  row.top = Larger(own_top, sink_logit);
  if (row.top == kMinusInfinity) return row;
  const float rescale = Exec::Exp2((own_top - row.top) * kLog2E);
  const float total =
      sum * rescale + Exec::Exp2((sink_logit - row.top) * kLog2E);
  row.factor = rescale / total;
  row.lse = row.top + logf(total);
  return row;
}

}  // namespace rattn::cuda
