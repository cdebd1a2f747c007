// phi of linear attention (mixer_spec.h, FeatureMap): a warp maps one row, in
// fp32, and stores it rounded and padded with zeros, as tiles are copied from.
#pragma once

#include <cmath>

#include "kernels/cuda/exec.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T, int kDim>
struct FeatureRows {
  static constexpr const char* kName = "feature_rows";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 8;
  static constexpr int kOfLane = kDim / kWarpSize;

  struct Params {
    GlobalView<const T> in;  // [B, T, H, D], D at most kDim
    GlobalView<T> out;       // [B, T, H, padded F]
    FeatureMap map = FeatureMap::kSoftmax;
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t row = static_cast<int64_t>(x.block(0)) * kWarps + x.warp();
    const int64_t heads = p.in.shape[2], tokens = p.in.shape[1];
    const Row at = {row / (tokens * heads), row / heads % tokens, row % heads};
    if (at.batch >= p.in.shape[0]) return;
    const auto dim = static_cast<int>(p.in.shape[3]);
    float value[kOfLane];
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      value[i] =
          c < dim ? x.Widen(x.Load(p.in, at.batch, at.token, at.head, c)) : 0;
    }
    int end = dim;
    StoreHalf(x, p, at, value, 1, 0);
    if (p.map != FeatureMap::kIdentity) {
      StoreHalf(x, p, at, value, -1, dim);
      end = 2 * dim;
    }
    for (int c = end + x.lane(); c < p.out.shape[3]; c += kWarpSize) {
      x.Store(p.out, at.batch, at.token, at.head, c, x.template Round<T>(0));
    }
  }

 private:
  struct Row {
    int64_t batch, token, head;
  };

  // The features of sign * x, from column `first`.
  template <class Exec>
  RATTN_FN static void StoreHalf(Exec& x, const Params& p, const Row& at,
                                 const float (&value)[kOfLane], float sign,
                                 int first) {
    const auto dim = static_cast<int>(p.in.shape[3]);
    float phi[kOfLane];
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) phi[i] = sign * value[i];
    if (p.map == FeatureMap::kSoftmax) Softmax(x, dim, phi);
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      if (c >= dim) continue;
      const bool cut = p.map == FeatureMap::kRelu && phi[i] < 0;
      x.Store(p.out, at.batch, at.token, at.head, first + c,
              x.template Round<T>(cut ? 0 : phi[i]));
    }
  }

  template <class Exec>
  RATTN_FN static void Softmax(Exec& x, int dim, float (&phi)[kOfLane]) {
    float top = kMinusInfinity;
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      if (x.lane() + i * kWarpSize < dim && phi[i] > top) top = phi[i];
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      const float other = x.ShuffleXor(top, mask);
      top = other > top ? other : top;
    }
    float sum = 0;
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      phi[i] = Exec::Exp2((phi[i] - top) * kLog2E);
      if (x.lane() + i * kWarpSize < dim) sum += phi[i];
    }
    for (int mask = 16; mask > 0; mask /= 2) sum += x.ShuffleXor(sum, mask);
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) phi[i] /= sum;
  }
};

}  // namespace rattn::cuda
