// Feature maps of linear attention and their Jacobians, per instruction set
// (to be included like tile_ops-inl.h). Rows of D inputs give rows of
// FeatureDim(map, D) features, computed in fp32.
#include <algorithm>

#include "kernels/cpu/tile_ops-inl.h"
#include "kernels/mixer_spec.h"

#if defined(RATTN_KERNELS_CPU_FEATURE_MAP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_FEATURE_MAP_INL_H_
#undef RATTN_KERNELS_CPU_FEATURE_MAP_INL_H_
#else
#define RATTN_KERNELS_CPU_FEATURE_MAP_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// y = f(x) for rows of n, and y = f(a, b); the tail is masked.
template <typename Function>
HWY_INLINE void MapRow(const float* x, int64_t n, float* y, const Function& f) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f(hn::LoadU(d, x + i)), d, y + i);
  }
  if (i < n) StoreFirst(f(LoadFirst(x + i, n - i)), y + i, n - i);
}

template <typename Function>
HWY_INLINE void MapRow(const float* a, const float* b, int64_t n, float* y,
                       const Function& f) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    StoreFirst(f(LoadFirst(a + i, rest), LoadFirst(b + i, rest)), y + i, rest);
  }
}

// out = softmax(sign * x), sign 1 or -1.
inline void SignedSoftmax(const float* x, int64_t n, float sign, float* out) {
  MapRow(x, n, out,
         [sign](TileV v) { return hn::Mul(v, hn::Set(TileD(), sign)); });
  const float sum = ExpRow(out, n, 1.f, RowMax(out, n), out);
  ScaleRow(1.f / sum, out, n, out, false);
}

// phi of one row of n = D inputs.
inline void FeatureRow(FeatureMap map, const float* x, int64_t n, float* out) {
  const auto zero = hn::Zero(TileD());
  switch (map) {
    case FeatureMap::kSoftmax:
      SignedSoftmax(x, n, 1.f, out);
      SignedSoftmax(x, n, -1.f, out + n);
      return;
    case FeatureMap::kRelu:
      MapRow(x, n, out, [zero](TileV v) { return hn::Max(v, zero); });
      MapRow(x, n, out + n,
             [zero](TileV v) { return hn::Max(hn::Neg(v), zero); });
      return;
    case FeatureMap::kIdentity:
      ScaleRow(1.f, x, n, out, false);
      return;
  }
}

// dx += sign * y * (dy - <y, dy>): softmax(sign * x) backwards.
inline void SignedSoftmaxGrad(const float* y, const float* dy, int64_t n,
                              float sign, float* dx) {
  const auto mean = hn::Set(TileD(), Dot(y, dy, n));
  const auto s = hn::Set(TileD(), sign);
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto g =
        hn::Mul(hn::LoadU(d, y + i), hn::Sub(hn::LoadU(d, dy + i), mean));
    hn::StoreU(hn::MulAdd(s, g, hn::LoadU(d, dx + i)), d, dx + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    const auto g =
        hn::Mul(LoadFirst(y + i, rest), hn::Sub(LoadFirst(dy + i, rest), mean));
    StoreFirst(hn::MulAdd(s, g, LoadFirst(dx + i, rest)), dx + i, rest);
  }
}

// Gradient of one row of n = D inputs from its features and their gradient.
// relu has slope 0 at 0, as everywhere.
inline void FeatureRowGrad(FeatureMap map, const float* phi, const float* dphi,
                           int64_t n, float* dx) {
  const auto zero = hn::Zero(TileD());
  const auto active = [zero](TileV f, TileV g) {
    return hn::IfThenElseZero(hn::Gt(f, zero), g);
  };
  switch (map) {
    case FeatureMap::kSoftmax:
      std::fill(dx, dx + n, 0.f);
      SignedSoftmaxGrad(phi, dphi, n, 1.f, dx);
      SignedSoftmaxGrad(phi + n, dphi + n, n, -1.f, dx);
      return;
    case FeatureMap::kRelu:
      MapRow(phi, dphi, n, dx, active);
      for (int64_t i = 0; i < n; ++i) {
        if (phi[n + i] > 0) dx[i] = -dphi[n + i];
      }
      return;
    case FeatureMap::kIdentity:
      ScaleRow(1.f, dphi, n, dx, false);
      return;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
