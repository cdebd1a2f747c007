// The token that a recurrent state takes in at a step of decode, as it waits
// beside the state (kernels/kv_cache.h): phi(k), then v, in fp32. A warp works
// on one KV head of one sequence.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/features_kernel.h"
#include "kernels/cuda/prepare_kernel.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T, int kDim>
struct TokenRows {
  static constexpr const char* kName = "token_rows";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 8;
  static constexpr int kOfLane = kDim / kWarpSize;

  struct Params {
    GlobalView<const T> k;      // [B, 1, Hkv, D], D at most kDim
    GlobalView<const T> v;      // [B, 1, Hkv, Dv]
    GlobalView<float> rows;     // [B, Hkv, 1, F + Dv]
    GlobalView<float> key_sum;  // optional [B, Hkv, F, 1], takes phi(k) in
    FeatureMap map = FeatureMap::kSoftmax;
    // The key was rotated for this position, and is turned back.
    bool rotated = false;
    bool interleaved = false;
    int64_t position = 0;
    double frequency[kMaxHeadDim / 2] = {};  // radians per position, by pair
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t row = static_cast<int64_t>(x.block(0)) * kWarps + x.warp();
    const int64_t b = row / p.k.shape[2], h = row % p.k.shape[2];
    if (b >= p.k.shape[0]) return;
    float key[kOfLane];
    LoadKey(x, p, b, h, key);
    StoreHalf(x, p, b, h, key, 1, 0);
    const int64_t dim = p.k.shape[3];
    const bool twice = p.map != FeatureMap::kIdentity;
    if (twice) StoreHalf(x, p, b, h, key, -1, dim);
    const int64_t behind = twice ? 2 * dim : dim;
    for (int64_t c = x.lane(); c < p.v.shape[3]; c += kWarpSize) {
      x.Store(p.rows, b, h, 0, behind + c, x.Widen(x.Load(p.v, b, 0, h, c)));
    }
  }

 private:
  template <class Exec>
  RATTN_FN static void LoadKey(Exec& x, const Params& p, int64_t b, int64_t h,
                               float (&key)[kOfLane]) {
    const auto dim = static_cast<int>(p.k.shape[3]);
    const int half = dim / 2;
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      key[i] = c < dim ? x.Widen(x.Load(p.k, b, 0, h, c)) : 0;
      if (!p.rotated || c >= dim) continue;
      const bool first = p.interleaved ? c % 2 == 0 : c < half;
      const int step = p.interleaved ? 1 : half;
      const int pair = p.interleaved ? c / 2 : c % half;
      const float other =
          x.Widen(x.Load(p.k, b, 0, h, first ? c + step : c - step));
      double sine, cosine;
      x.SinCos(static_cast<double>(p.position) * p.frequency[pair], &sine,
               &cosine);
      const auto s = static_cast<float>(first ? sine : -sine);
      key[i] = key[i] * static_cast<float>(cosine) + other * s;
    }
  }

  // The features of sign * key, from column `begin`.
  template <class Exec>
  RATTN_FN static void StoreHalf(Exec& x, const Params& p, int64_t b, int64_t h,
                                 const float (&key)[kOfLane], float sign,
                                 int64_t begin) {
    const auto dim = static_cast<int>(p.k.shape[3]);
    float phi[kOfLane];
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) phi[i] = sign * key[i];
    FeaturesOfRow(x, p.map, dim, phi);
    RATTN_UNROLL
    for (int i = 0; i < kOfLane; ++i) {
      const int c = x.lane() + i * kWarpSize;
      if (c >= dim) continue;
      x.Store(p.rows, b, h, 0, begin + c, phi[i]);
      if (p.key_sum) {
        const float sum = x.Load(ReadOnly(p.key_sum), b, h, begin + c, 0);
        x.Store(p.key_sum, b, h, begin + c, 0, sum + phi[i]);
      }
    }
  }
};

}  // namespace rattn::cuda
