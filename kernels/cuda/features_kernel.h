// phi of linear attention (mixer_spec.h, FeatureMap) and its gradient: a warp
// works on one row, in fp32.
#pragma once

#include <cmath>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/warp_sums.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

// A row of a tensor [B, T, H, D], as a warp holds it: element i of a lane is
// column lane + 32 i.
struct FeatureRow {
  template <typename T>
  RATTN_FN FeatureRow(int64_t row, const GlobalView<T>& view)
      : batch(row / (view.shape[1] * view.shape[2])),
        token(row / view.shape[2] % view.shape[1]),
        head(row % view.shape[2]) {}
  int64_t batch, token, head;
};

// sign * row; zeros behind it.
template <typename T, int kOfLane, class Exec>
RATTN_FN void LoadFeatureRow(Exec& x, const GlobalView<const T>& view,
                             const FeatureRow& at, float sign,
                             float (&value)[kOfLane]) {
  RATTN_UNROLL
  for (int i = 0; i < kOfLane; ++i) {
    const int c = x.lane() + i * kWarpSize;
    value[i] =
        c < view.shape[3]
            ? sign * x.Widen(x.Load(view, at.batch, at.token, at.head, c))
            : 0;
  }
}

// In place, of the first `dim` columns.
template <int kOfLane, class Exec>
RATTN_FN void SoftmaxOfRow(Exec& x, int dim, float (&phi)[kOfLane]) {
  float top = kMinusInfinity;
  RATTN_UNROLL
  for (int i = 0; i < kOfLane; ++i) {
    if (x.lane() + i * kWarpSize < dim && phi[i] > top) top = phi[i];
  }
  top = MaxOfWarp(x, top);
  float sum = 0;
  RATTN_UNROLL
  for (int i = 0; i < kOfLane; ++i) {
    phi[i] = Exec::Exp2((phi[i] - top) * kLog2E);
    if (x.lane() + i * kWarpSize < dim) sum += phi[i];
  }
  sum = SumOfWarp(x, sum);
  RATTN_UNROLL
  for (int i = 0; i < kOfLane; ++i) phi[i] /= sum;
}

// A row becomes its features, in place; softmax over the first `dim` columns.
template <int kOfLane, class Exec>
RATTN_FN void FeaturesOfRow(Exec& x, FeatureMap map, int dim,
                            float (&row)[kOfLane]) {
  if (map == FeatureMap::kSoftmax) SoftmaxOfRow(x, dim, row);
  if (map != FeatureMap::kRelu) return;
  RATTN_UNROLL
  for (int i = 0; i < kOfLane; ++i) row[i] = row[i] < 0 ? 0 : row[i];
}

// Stores phi rounded to Out and padded with zeros, as tiles are copied from.
template <typename T, int kDim, typename Out = T>
struct FeatureRows {
  static constexpr const char* kName = "feature_rows";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 8;
  static constexpr int kOfLane = kDim / kWarpSize;

  struct Params {
    GlobalView<const T> in;  // [B, T, H, D], D at most kDim
    GlobalView<Out> out;     // [B, T, H, padded F]
    FeatureMap map = FeatureMap::kSoftmax;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const FeatureRow at(static_cast<int64_t>(x.block(0)) * kWarps + x.warp(),
                        p.in);
    if (at.batch >= p.in.shape[0]) return;
    const auto dim = static_cast<int>(p.in.shape[3]);
    int end = dim;
    StoreHalf(x, p, at, 1, 0);
    if (p.map != FeatureMap::kIdentity) {
      StoreHalf(x, p, at, -1, dim);
      end = 2 * dim;
    }
    for (int c = end + x.lane(); c < p.out.shape[3]; c += kWarpSize) {
      x.Store(p.out, at.batch, at.token, at.head, c, x.template Round<Out>(0));
    }
  }

 private:
  // The features of sign * x, from column `first`.
  template <class Exec>
  RATTN_FN static void StoreHalf(Exec& x, const Params& p, const FeatureRow& at,
                                 float sign, int first) {
    const auto dim = static_cast<int>(p.in.shape[3]);
    float phi[kOfLane];
    LoadFeatureRow(x, p.in, at, sign, phi);
    FeaturesOfRow(x, p.map, dim, phi);
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      if (c >= dim) continue;
      x.Store(p.out, at.batch, at.token, at.head, first + c,
              x.template Round<Out>(phi[i]));
    }
  }
};

// The input is mapped again. Softmax, with p = softmax(+-x):
//   dx = p+ (d+ - p+ . d+) - p- (d- - p- . d-)
template <typename T, int kDim>
struct FeatureGradient {
  static constexpr const char* kName = "feature_gradient";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 8;
  static constexpr int kOfLane = kDim / kWarpSize;

  struct Params {
    GlobalView<const T> in;         // [B, T, H, D]
    GlobalView<const float> d_phi;  // [B, T, H, padded F]
    GlobalView<float> d_in;         // [B, T, H, D]
    HeadRange heads;                // that have gradients
    FeatureMap map = FeatureMap::kSoftmax;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const FeatureRow at(static_cast<int64_t>(x.block(0)) * kWarps + x.warp(),
                        p.in);
    if (at.batch >= p.in.shape[0] || at.head < p.heads.begin ||
        at.head >= p.heads.end) {
      return;
    }
    const auto dim = static_cast<int>(p.in.shape[3]);
    float sum[kOfLane] = {};
    AddHalf(x, p, at, 1, 0, sum);
    if (p.map != FeatureMap::kIdentity) AddHalf(x, p, at, -1, dim, sum);
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      if (c < dim) x.Store(p.d_in, at.batch, at.token, at.head, c, sum[i]);
    }
  }

 private:
  // Through the features of sign * x, from column `first`.
  template <class Exec>
  RATTN_FN static void AddHalf(Exec& x, const Params& p, const FeatureRow& at,
                               float sign, int first, float (&sum)[kOfLane]) {
    const auto dim = static_cast<int>(p.in.shape[3]);
    float phi[kOfLane], d[kOfLane];
    LoadFeatureRow(x, p.in, at, sign, phi);
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      d[i] =
          c < dim ? x.Load(p.d_phi, at.batch, at.token, at.head, first + c) : 0;
    }
    float mean = 0;
    if (p.map == FeatureMap::kSoftmax) {
      SoftmaxOfRow(x, dim, phi);
      RATTN_UNROLL
      for (int i = 0; i < kOfLane; ++i) mean += phi[i] * d[i];
      mean = SumOfWarp(x, mean);
    }
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      float factor = sign;
      if (p.map == FeatureMap::kSoftmax) factor *= phi[i];
      if (p.map == FeatureMap::kRelu && phi[i] <= 0) factor = 0;
      sum[i] += factor * (d[i] - mean);
    }
  }
};

}  // namespace rattn::cuda
