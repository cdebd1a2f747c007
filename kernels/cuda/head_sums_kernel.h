// Gradients that sum over all rows of a head: norm scales and sink logits. One
// block per head and 32 columns; its warps take rows in turn and add up at the
// end, in a fixed order.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

// What both kernels below share. Kernel::Term(x, p, batch, token, head, column)
// is one row's part of Params::out [1, 1, Hq, columns], zero for heads outside
// Params::heads.
template <class Kernel>
struct HeadSums {
  static constexpr int kWarps = 8, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 4;
  static constexpr int kSharedBytes =
      kThreads * static_cast<int>(sizeof(float));

  template <class Exec, class Params>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t head = x.block(1);
    const int64_t column =
        static_cast<int64_t>(x.block(0)) * kWarpSize + x.lane();
    const bool real = column < p.out.shape[3];
    float sum = 0;
    if (real && head >= p.heads.begin && head < p.heads.end) {
      for (int64_t row = x.warp(); row < p.batch * p.tokens; row += kWarps) {
        sum += Kernel::Term(x, p, row / p.tokens, row % p.tokens, head, column);
      }
    }
    const auto sums = x.template SharedAt<float>(0, kThreads);
    x.StoreShared(sums, x.thread(), sum);
    x.Barrier();
    if (x.warp() != 0 || !real) return;
    float total = 0;
    for (int w = 0; w < kWarps; ++w) {
      total += x.LoadShared(sums, w * kWarpSize + x.lane());
    }
    x.Store(p.out, 0, 0, head, column, total);
  }
};

// d_norm = sum of weight * d_o * x / rms(x).
template <typename T>
struct NormGradient : HeadSums<NormGradient<T>> {
  static constexpr const char* kName = "norm_gradient";
  struct Params {
    GlobalView<const T> d_o;          // [B, Tq, Hq, Dv]
    GlobalView<const float> x;        // [B, Tq, Hq, Dv]
    GlobalView<const float> inverse;  // [B, Tq, Hq, 1]
    GlobalView<float> out;            // [1, 1, Hq, Dv]
    HeadRange heads;
    int64_t batch = 0, tokens = 0;
    float weight = 1;
  };
  template <class Exec>
  RATTN_FN static float Term(Exec& x, const Params& p, int64_t b, int64_t t,
                             int64_t h, int64_t c) {
    return p.weight * x.Widen(x.Load(p.d_o, b, t, h, c)) *
           x.Load(p.x, b, t, h, c) * x.Load(p.inverse, b, t, h, 0);
  }
};

// The sink logit's weight exp(logit - lse) has the value 0.
struct SinkGradient : HeadSums<SinkGradient> {
  static constexpr const char* kName = "sink_gradient";
  struct Params {
    GlobalView<const float> sink_logit;  // [1, 1, Hq, 1]
    GlobalView<const float> lse;         // [B, Tq, Hq, 1]
    GlobalView<const float> dot;         // [B, Tq, Hq, 1]
    GlobalView<float> out;               // [1, 1, Hq, 1]
    HeadRange heads;
    int64_t batch = 0, tokens = 0;
  };
  template <class Exec>
  RATTN_FN static float Term(Exec& x, const Params& p, int64_t b, int64_t t,
                             int64_t h, int64_t) {
    const float lse = x.Load(p.lse, b, t, h, 0);
    const float logit = x.Load(p.sink_logit, 0, 0, h, 0);
    return -Exec::Exp2((logit - lse) * kLog2E) * x.Load(p.dot, b, t, h, 0);
  }
};

}  // namespace rattn::cuda
