// Backward of the combination: the gradient of each branch's output, rounded
// and padded as tiles are copied from, through the RMS norm where there is
// one. A warp works on one row of one head.
//   u = x / rms(x),  g = weight * norm * d_o,  dx = (g - u mean(g u)) / rms(x)
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/warp_sums.h"
#include "kernels/fp16.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T>
struct OutputGradients {
  static constexpr const char* kName = "output_gradients";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 6;

  struct Branch {
    GlobalView<const float> x;     // [B, Tq, Hq, Dv], kept by Forward
    GlobalView<const float> norm;  // optional [1, 1, Hq, Dv]
    GlobalView<T> d_x;             // [B, Tq, Hq, padded Dv]
    GlobalView<float> inverse;     // [B, Tq, Hq, 1]: 1 / rms(x)
    GlobalView<float> dot;         // [B, Tq, Hq, 1]: d_x . x
    // Optional [B, Tq, Hq, 1]: x was divided by it. d_x becomes the gradient of
    // what was divided and, in columns Dv and Dv + 1, that of the divisor.
    GlobalView<const float> denominator;
    HeadRange heads;
    float scale = 1;  // of d_x
  };
  struct Params {
    GlobalView<const T> d_o;  // [B, Tq, Hq, Dv]
    Branch branch[2];         // x absent: no such branch
    bool norms = false;
    float weight = 1;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t tokens = p.d_o.shape[1], heads = p.d_o.shape[2];
    const int64_t row = static_cast<int64_t>(x.block(0)) * kWarps + x.warp();
    const Row at = {row / (tokens * heads), row / heads % tokens, row % heads};
    if (at.batch >= p.d_o.shape[0]) return;
    for (int i = 0; i < 2; ++i) {
      const Branch& branch = p.branch[i];
      if (branch.x && at.head >= branch.heads.begin &&
          at.head < branch.heads.end) {
        BranchRow(x, p, branch, at);
      }
    }
  }

 private:
  // A row that is zero, as that of a query which reads no memory, has a
  // gradient of d_o / sqrt(eps), too large for fp16; it meets zeros only.
  RATTN_FN static float Saturated(float x) {
    constexpr float kMost = 65504;
    if constexpr (!std::is_same_v<T, Fp16>) return x;
    return x > kMost ? kMost : x < -kMost ? -kMost : x;
  }

  struct Row {
    int64_t batch, token, head;
  };

  // Weighted gradient of the normed output's element c.
  template <class Exec>
  RATTN_FN static float Gradient(Exec& x, const Params& p, const Branch& branch,
                                 const Row& at, int64_t c) {
    const float d = x.Widen(x.Load(p.d_o, at.batch, at.token, at.head, c));
    const float scaled = p.norms ? d * p.weight : d;
    return branch.norm ? scaled * x.Load(branch.norm, 0, 0, at.head, c)
                       : scaled;
  }

  template <class Exec>
  RATTN_FN static void BranchRow(Exec& x, const Params& p, const Branch& branch,
                                 const Row& at) {
    const int64_t dim = p.d_o.shape[3];
    const auto value = [&](int64_t c) {
      return x.Load(branch.x, at.batch, at.token, at.head, c);
    };
    float inverse = 1, mean = 0;
    if (p.norms) {
      float squares = 0, dot = 0;
      for (int64_t c = x.lane(); c < dim; c += kWarpSize) {
        squares += value(c) * value(c);
        dot += value(c) * Gradient(x, p, branch, at, c);
      }
      const auto count = static_cast<float>(dim);
      inverse = 1 / sqrtf(SumOfWarp(x, squares) / count +
                          static_cast<float>(kNormEpsilon));
      mean = SumOfWarp(x, dot) * inverse / count;
    }
    float scale = branch.scale;
    if (branch.denominator) {
      scale /= x.Load(branch.denominator, at.batch, at.token, at.head, 0);
    }
    float dot = 0;
    for (int64_t c = x.lane(); c < branch.d_x.shape[3]; c += kWarpSize) {
      if (branch.denominator && (c == dim || c == dim + 1)) continue;
      float d = 0;
      if (c < dim) {
        const float u = value(c) * inverse;
        d = (Gradient(x, p, branch, at, c) - u * mean) * inverse;
      }
      const T rounded = x.template Round<T>(Saturated(d * scale));
      x.Store(branch.d_x, at.batch, at.token, at.head, c, rounded);
      if (c < dim) dot += x.Widen(rounded) * value(c);
    }
    dot = SumOfWarp(x, dot);
    if (x.lane() != 0) return;
    x.Store(branch.inverse, at.batch, at.token, at.head, 0, inverse);
    x.Store(branch.dot, at.batch, at.token, at.head, 0, dot);
    if (!branch.denominator) return;
    // In two parts, as it may cancel all that the other columns add up to.
    const T most = x.template Round<T>(Saturated(-dot));
    x.Store(branch.d_x, at.batch, at.token, at.head, dim, most);
    x.Store(branch.d_x, at.batch, at.token, at.head, dim + 1,
            x.template Round<T>(Saturated(-dot) - x.Widen(most)));
  }
};

}  // namespace rattn::cuda
