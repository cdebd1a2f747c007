// Feature maps of linear attention and their Jacobians, per instruction set
// (to be included like tile_ops-inl.h). Rows of D inputs give rows of
// FeatureDim(map, D) features, computed in fp32.
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

// out[0, n) = softmax(x), out[n, 2n) = softmax(-x), in one go: on short rows
// the reductions cost as much as the exponentials and overlap this way.
inline void SoftmaxBothSigns(const float* x, int64_t n, float* out) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const size_t rest = n % lanes;
  const int64_t full = n - rest;
  const auto in_rest = hn::FirstN(d, rest);
  const auto infinity = hn::Set(d, hwy::HighestValue<float>());
  TileV high = hn::Neg(infinity), low = infinity;
  for (int64_t i = 0; i < full; i += lanes) {
    const TileV v = hn::LoadU(d, x + i);
    high = hn::Max(high, v);
    low = hn::Min(low, v);
  }
  const TileV last = rest > 0 ? LoadFirst(x + full, rest) : hn::Zero(d);
  high = hn::Max(high, hn::IfThenElse(in_rest, last, hn::Neg(infinity)));
  low = hn::Min(low, hn::IfThenElse(in_rest, last, infinity));
  high = hn::MaxOfLanes(d, high);
  low = hn::MinOfLanes(d, low);

  TileV sum_up = hn::Zero(d), sum_down = hn::Zero(d);
  for (int64_t i = 0; i < full; i += lanes) {
    const TileV v = hn::LoadU(d, x + i);
    const TileV up = Exp(hn::Sub(v, high)), down = Exp(hn::Sub(low, v));
    sum_up = hn::Add(sum_up, up);
    sum_down = hn::Add(sum_down, down);
    hn::StoreU(up, d, out + i);
    hn::StoreU(down, d, out + n + i);
  }
  if (rest > 0) {
    const TileV up = Exp(hn::Sub(last, high)), down = Exp(hn::Sub(low, last));
    sum_up = hn::Add(sum_up, hn::IfThenElseZero(in_rest, up));
    sum_down = hn::Add(sum_down, hn::IfThenElseZero(in_rest, down));
    StoreFirst(up, out + full, rest);
    StoreFirst(down, out + n + full, rest);
  }
  const TileV one = hn::Set(d, 1.f);
  const TileV by_up = hn::Div(one, hn::SumOfLanes(d, sum_up));
  const TileV by_down = hn::Div(one, hn::SumOfLanes(d, sum_down));
  const auto times = [](TileV by) {
    return [by](TileV v) { return hn::Mul(v, by); };
  };
  MapRow(out, n, out, times(by_up));
  MapRow(out + n, n, out + n, times(by_down));
}

// phi of one row of n = D inputs.
inline void FeatureRow(FeatureMap map, const float* x, int64_t n, float* out) {
  const auto zero = hn::Zero(TileD());
  switch (map) {
    case FeatureMap::kSoftmax:
      SoftmaxBothSigns(x, n, out);
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

// dx = y (dy - <y, dy>) for the first half of the features, less the same for
// the second half.
inline void SoftmaxBothSignsGrad(const float* y, const float* dy, int64_t n,
                                 float* dx) {
  const auto up = hn::Set(TileD(), Dot(y, dy, n));
  const auto down = hn::Set(TileD(), Dot(y + n, dy + n, n));
  MapRow(y, dy, n, dx,
         [up](TileV f, TileV g) { return hn::Mul(f, hn::Sub(g, up)); });
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const auto less = [down](TileV x, TileV f, TileV g) {
    return hn::NegMulAdd(f, hn::Sub(g, down), x);
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(less(hn::LoadU(d, dx + i), hn::LoadU(d, y + n + i),
                    hn::LoadU(d, dy + n + i)),
               d, dx + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    StoreFirst(less(LoadFirst(dx + i, rest), LoadFirst(y + n + i, rest),
                    LoadFirst(dy + n + i, rest)),
               dx + i, rest);
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
      SoftmaxBothSignsGrad(phi, dphi, n, dx);
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
