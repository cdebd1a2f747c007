#include "models/torch/row_math.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/torch/row_math.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// Highway's headers are compiled once per instruction set, in this order.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace rattn::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename F>
void Apply(float* x, int64_t n, const F& f) {
  const hn::ScalableTag<float> d;  // at most HWY_MAX_BYTES
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f(d, hn::LoadU(d, x + i)), d, x + i);
  }
  if (i == n) return;
  HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy(x + i, x + n, rest);
  hn::Store(f(d, hn::Load(d, rest)), d, rest);
  std::copy(rest, rest + (n - i), x + i);
}

struct ExpOp {
  template <class D, class V>
  HWY_ATTR V operator()(D d, V x) const {
    return hn::Exp(d, x);
  }
};
struct SigmoidOp {
  template <class D, class V>
  HWY_ATTR V operator()(D d, V x) const {
    const V one = hn::Set(d, 1.0f);
    // Highway's Exp is only defined below 104.
    const V negated = hn::Min(hn::Neg(x), hn::Set(d, 88.0f));
    return hn::Div(one, hn::Add(one, hn::Exp(d, negated)));
  }
};

void ExpRow(float* x, int64_t n) { Apply(x, n, ExpOp()); }
void SigmoidRow(float* x, int64_t n) { Apply(x, n, SigmoidOp()); }

}  // namespace rattn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {

HWY_EXPORT(ExpRow);
HWY_EXPORT(SigmoidRow);

void Exps(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(ExpRow)(x, n); }
void Sigmoids(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(SigmoidRow)(x, n); }

void Exps(double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = std::exp(x[i]);
}
void Sigmoids(double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = 1 / (1 + std::exp(-x[i]));
}

}  // namespace rattn
#endif
