// The two branch outputs become one (mixer_spec.h, Combine): their sum, or
// RMS norms per head with scales. A warp works on one row of one head. Heads
// that a branch does not have get its zeros and infinities here.
#pragma once

#include <cmath>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/warp_sums.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T>
struct CombineRows {
  static constexpr const char* kName = "combine_rows";
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 8;

  struct Branch {
    GlobalView<float> x;           // optional [B, Tq, Hq, Dv]
    GlobalView<const float> norm;  // optional [1, 1, Hq, Dv]
    HeadRange heads;
  };
  struct Params {
    Branch branch[2];              // local, memory
    GlobalView<T> o;               // [B, Tq, Hq, Dv]
    GlobalView<float> lse;         // optional [B, Tq, Hq, 1]
    GlobalView<float> max_logits;  // optional [B, Tq, Hq, 1]
    bool norms = false;
    float weight = 1;  // of every branch
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t row = static_cast<int64_t>(x.block(0)) * kWarps + x.warp();
    const Row at = {row / (p.o.shape[1] * p.o.shape[2]),
                    row / p.o.shape[2] % p.o.shape[1], row % p.o.shape[2]};
    if (at.batch >= p.o.shape[0]) return;
    float factor[2];
    for (int i = 0; i < 2; ++i) factor[i] = Factor(x, p, p.branch[i], at);
    for (int64_t c = x.lane(); c < p.o.shape[3]; c += kWarpSize) {
      float sum = 0;
      for (int i = 0; i < 2; ++i) {
        if (Has(p.branch[i], at)) sum += Term(x, p.branch[i], at, c, factor[i]);
      }
      x.Store(p.o, at.batch, at.token, at.head, c, x.template Round<T>(sum));
    }
    for (int i = 0; i < 2; ++i) {
      if (p.branch[i].x && !Has(p.branch[i], at)) Clear(x, p.branch[i].x, at);
    }
    if (p.branch[0].x && !Has(p.branch[0], at)) ClearLogits(x, p, at);
  }

 private:
  struct Row {
    int64_t batch, token, head;
  };
  RATTN_FN static bool Has(const Branch& branch, const Row& at) {
    return branch.x && at.head >= branch.heads.begin &&
           at.head < branch.heads.end;
  }

  // Of the whole row: 1 / RMS where rows are normed.
  template <class Exec>
  RATTN_FN static float Factor(Exec& x, const Params& p, const Branch& branch,
                               const Row& at) {
    if (!p.norms || !Has(branch, at)) return p.weight;
    float sum = 0;
    for (int64_t c = x.lane(); c < p.o.shape[3]; c += kWarpSize) {
      const float value =
          x.Load(ReadOnly(branch.x), at.batch, at.token, at.head, c);
      sum += value * value;
    }
    const float mean = SumOfWarp(x, sum) / static_cast<float>(p.o.shape[3]);
    return p.weight / sqrtf(mean + static_cast<float>(kNormEpsilon));
  }

  template <class Exec>
  RATTN_FN static float Term(Exec& x, const Branch& branch, const Row& at,
                             int64_t c, float factor) {
    const float value =
        x.Load(ReadOnly(branch.x), at.batch, at.token, at.head, c) * factor;
    return branch.norm ? value * x.Load(branch.norm, 0, 0, at.head, c) : value;
  }

  template <class Exec>
  RATTN_FN static void Clear(Exec& x, const GlobalView<float>& view,
                             const Row& at) {
    for (int64_t c = x.lane(); c < view.shape[3]; c += kWarpSize) {
      x.Store(view, at.batch, at.token, at.head, c, 0.f);
    }
  }
  template <class Exec>
  RATTN_FN static void ClearLogits(Exec& x, const Params& p, const Row& at) {
    if (x.lane() != 0) return;
    for (const auto* view : {&p.lse, &p.max_logits}) {
      if (*view) {
        x.Store(*view, at.batch, at.token, at.head, 0, kMinusInfinity);
      }
    }
  }
};

}  // namespace rattn::cuda
