// What the plans of forward passes and of calls on a cache share: how branches
// are read from what lies ready, and their combination.
#pragma once

#include "kernels/cuda/combine_kernel.h"
#include "kernels/cuda/linear_read_kernel.h"
#include "kernels/cuda/plan_base.h"
#include "kernels/cuda/softmax_choice.h"
#include "kernels/cuda/softmax_forward_kernel.h"
#include "kernels/cuda/softmax_hopper_kernel.h"
#include "kernels/cuda/tile_map.h"

namespace rattn::cuda {

template <typename T, class Launcher>
class BranchPlan : protected PlanBase<T, Launcher> {
 protected:
  using Base = PlanBase<T, Launcher>;
  using Base::arena_, Base::b_, Base::launcher_, Base::p_;
  using Base::Base, Base::NeedsCombine;

  // Where a branch writes fp32: what is kept for Backward, workspace for the
  // combination, or nowhere.
  GlobalView<float> WideOutput(const TensorView& kept) {
    if (kept) return ViewOf<float>(kept);
    if (!NeedsCombine()) return {};
    const Shape& s = p_.shape;
    return TakeView<float>({s.batch, s.query_len, s.query_heads, s.value_dim},
                           arena_);
  }
  template <class Params>
  void FillOutput(const TensorView& kept, Params* params) {
    if (!NeedsCombine()) params->o = ViewOf<T>(b_.o);
    params->o_wide = WideOutput(kept);
  }
  template <class Params>
  void FillRowOutputs(Params* params) {
    params->lse = ViewOf<float>(b_.lse);
    params->max_logits = ViewOf<float>(b_.max_logits);
    params->sink_logit = ViewOf<const float>(b_.sink_logit);
  }

  // All but the outputs o and o_wide of the launches below.
  template <int kDim, KeySource kFrom>
  auto SoftmaxParams(const KeysOf<T, kFrom>& k, const KeysOf<T, kFrom>& v) {
    typename SoftmaxForward<T, kDim, kFrom>::Params params;
    this->template FillLocal<kDim>(&params);
    params.k = k;
    params.v = v;
    params.pack = this->pack_;
    params.value_dim = static_cast<int>(p_.shape.value_dim);
    FillRowOutputs(&params);
    return params;
  }
  // `keys`: features of the memory's tokens, `v` their values.
  template <int kFeatures, int kDim>
  auto ReadParams(const GlobalView<const T>& keys,
                  const GlobalView<const T>& v) {
    typename LinearRead<T, kFeatures, kDim, LinearRows::kQueries>::Params
        params;
    params.shape = this->ShapeOfMemory();
    params.rows =
        this->template Features<kFeatures, kDim>(this->MemoryQueries());
    params.columns = keys;
    params.values = v;
    params.states =
        this->template States<kFeatures, kDim>(keys, v, b_.final_state);
    params.value_dim = static_cast<int>(p_.shape.value_dim);
    params.scale = static_cast<float>(p_.memory_scale);
    params.normalize = ValueColumns(p_) > p_.shape.value_dim;
    return params;
  }

  template <int kDim, KeySource kFrom>
  GlobalView<float> Attend(const KeysOf<T, kFrom>& k,
                           const KeysOf<T, kFrom>& v) {
    using Kernel = SoftmaxForward<T, kDim, kFrom>;
    auto params = SoftmaxParams<kDim, kFrom>(k, v);
    FillOutput(b_.o_local, &params);
    if constexpr (kFrom == KeySource::kGiven && kDim <= 128) {
      if (AttendOnHopper<kDim>(params)) return params.o_wide;
    }
    RunRows<Kernel>(params, params);
    return params.o_wide;
  }
  // False: not with this call (softmax_choice.h).
  template <int kDim, class RowParams>
  bool AttendOnHopper(const RowParams& rows) {
    using Kernel = SoftmaxHopper<T, kDim>;
    const Gpu& gpu = launcher_->gpu();
    if (gpu.compute_capability != 90 || this->IsPack()) return false;
    typename Kernel::Params params;
    params.rows = rows;
    params.k = MapOfTokens(rows.k.rows, Kernel::kKeys);
    params.v = MapOfTokens(rows.v.rows, Kernel::kKeys);
    const int64_t heads = p_.shape.kv_heads * p_.shape.batch;
    if (!IsMappable(params.k) || !IsMappable(params.v) ||
        !HopperPays<Kernel, SoftmaxForward<T, kDim, KeySource::kGiven>>(
            gpu, rows, heads)) {
      return false;
    }
    RunRows<Kernel>(params, rows);
    return true;
  }
  template <class Kernel, class RowParams>
  void RunRows(const typename Kernel::Params& params, const RowParams& rows) {
    launcher_->template Run<Kernel>(
        this->OfHeads(
            this->BlocksOf(rows.query_len, {rows.group, Kernel::kRows}),
            p_.shape.kv_heads, Kernel::kSharedBytes),
        params);
  }

  template <int kFeatures, int kDim>
  GlobalView<float> ReadMemory(const GlobalView<const T>& keys,
                               const GlobalView<const T>& v) {
    using Kernel = LinearRead<T, kFeatures, kDim, LinearRows::kQueries>;
    auto params = ReadParams<kFeatures, kDim>(keys, v);
    FillOutput(b_.o_memory, &params);
    launcher_->template Run<Kernel>(
        this->OfHeads(this->BlocksOf(p_.shape.query_len,
                                     Kernel::Pattern::CutOf(params.shape)),
                      StateHeads(p_), Kernel::kSharedBytes),
        params);
    return params.o_wide;
  }

  void RunCombine(const GlobalView<float>& local,
                  const GlobalView<float>& memory) {
    if (!NeedsCombine()) return;
    using Kernel = CombineRows<T>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.branch[0] = {local, ViewOf<const float>(b_.norm_local),
                        LocalHeads(p_.spec, s.query_heads)};
    params.branch[1] = {memory, ViewOf<const float>(b_.norm_memory),
                        MemoryHeads(p_.spec, s.query_heads)};
    params.o = ViewOf<T>(b_.o);
    params.lse = ViewOf<float>(b_.lse);
    params.max_logits = ViewOf<float>(b_.max_logits);
    params.norms = UsesNorms(p_.spec);
    params.weight = this->BranchWeight();
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(s.batch * s.query_len * s.query_heads,
                          Kernel::kWarps),
                  1, 1}},
        params);
  }
};

}  // namespace rattn::cuda
