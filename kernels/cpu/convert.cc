#include "kernels/cpu/convert.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/tile_ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

void ConvertPass(const TensorView& in, const TensorView& out, int threads) {
  constexpr int64_t kRows = 64;
  const int64_t length = in.shape[1];
  const int64_t blocks = (length + kRows - 1) / kRows;
  ParallelFor(threads, in.shape[0] * blocks, [&](int64_t task, int) HWY_ATTR {
    const int64_t b = task / blocks;
    const int64_t first = task % blocks * kRows;
    const int64_t count = std::min(kRows, length - first);
    for (int64_t h = 0; h < in.shape[2]; ++h) {
      StoreRows(in.Row<const float>(b, first, h), in.stride[1], out, b, first,
                count, h, false);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {
HWY_EXPORT(ConvertPass);
}  // namespace

void ConvertRows(const TensorView& in, const TensorView& out, int threads) {
  HWY_DYNAMIC_DISPATCH(ConvertPass)(in, out, threads);
}

void FillHeads(const TensorView& view, HeadRange heads, float x, int threads) {
  ParallelFor(threads, view.shape[0] * view.shape[1], [&](int64_t task, int) {
    const int64_t b = task / view.shape[1];
    const int64_t t = task % view.shape[1];
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      for (int64_t i = 0; i < view.shape[3]; ++i) {
        view.Set(b, t, h, i, x);
      }
    }
  });
}

}  // namespace rattn
#endif  // HWY_ONCE
