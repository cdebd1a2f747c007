// The launches of a forward pass, in order.
#pragma once

#include "kernels/cuda/combine_kernel.h"
#include "kernels/cuda/linear_read_kernel.h"
#include "kernels/cuda/plan_base.h"
#include "kernels/cuda/softmax_forward_kernel.h"

namespace rattn::cuda {

template <typename T, class Launcher>
class ForwardPlan : private PlanBase<T, Launcher> {
 public:
  // Runs the launches of `problem` (CudaSupports) on device pointers.
  static void Run(const Problem& problem, const Buffers& buffers, Arena* arena,
                  Launcher* launcher) {
    ForwardPlan plan(problem, buffers, arena, launcher);
    plan.WithDim([&plan](auto dim) { plan.template RunBranches<dim>(); });
  }

 private:
  using Base = PlanBase<T, Launcher>;
  using Base::arena_, Base::b_, Base::launcher_, Base::p_;
  using Base::Base, Base::NeedsCombine, Base::WithDim;

  // Where a branch writes fp32: what is kept for Backward, workspace for the
  // combination, or nowhere.
  GlobalView<float> WideOutput(const TensorView& kept) {
    if (kept) return ViewOf<float>(kept);
    if (!NeedsCombine()) return {};
    const Shape& s = p_.shape;
    return TakeView<float>({s.batch, s.query_len, s.query_heads, s.value_dim},
                           arena_);
  }

  template <int kDim>
  void RunBranches() {
    GlobalView<float> local, memory;
    const auto v = this->template Prepared<kDim>(b_.v, false, 0, 0);
    if (HasLocal(p_.spec)) local = RunLocal<kDim>(v);
    if (HasMemory(p_.spec)) {
      memory = p_.spec.memory.feature_map == FeatureMap::kIdentity
                   ? RunMemory<kDim, kDim>(v)
                   : RunMemory<2 * kDim, kDim>(v);
    }
    if (NeedsCombine()) RunCombine(local, memory);
  }

  template <int kDim>
  GlobalView<float> RunLocal(const GlobalView<const T>& v) {
    using Kernel = SoftmaxForward<T, kDim>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    this->template FillLocal<kDim>(v, &params);
    if (!NeedsCombine()) params.o = ViewOf<T>(b_.o);
    params.o_wide = WideOutput(b_.o_local);
    params.lse = ViewOf<float>(b_.lse);
    params.max_logits = ViewOf<float>(b_.max_logits);
    params.sink_logit = ViewOf<const float>(b_.sink_logit);
    params.value_dim = static_cast<int>(s.value_dim);
    launcher_->template Run<Kernel>(
        this->OfHeads(CeilDiv(s.query_len * params.group, Kernel::kRows),
                      s.kv_heads, Kernel::SharedBytes(this->SlotQueries())),
        params);
    return params.o_wide;
  }

  template <int kFeatures, int kDim>
  GlobalView<float> RunMemory(const GlobalView<const T>& v) {
    using Kernel = LinearRead<T, kFeatures, kDim, LinearRows::kQueries>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.shape = this->ShapeOfMemory();
    params.rows =
        this->template Features<kFeatures, kDim>(this->MemoryQueries());
    params.columns =
        this->template Features<kFeatures, kDim>(this->MemoryKeys());
    params.values = v;
    params.states = this->template States<kFeatures, kDim>(params.columns, v,
                                                           b_.final_state);
    if (!NeedsCombine()) params.o = ViewOf<T>(b_.o);
    params.o_wide = WideOutput(b_.o_memory);
    params.value_dim = static_cast<int>(s.value_dim);
    params.scale = static_cast<float>(p_.memory_scale);
    launcher_->template Run<Kernel>(
        this->OfHeads(
            CeilDiv(s.query_len * params.shape.row_group, Kernel::kRows),
            StateHeads(p_), Kernel::kSharedBytes),
        params);
    return params.o_wide;
  }

  void RunCombine(const GlobalView<float>& local,
                  const GlobalView<float>& memory) {
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
    params.weight = p_.spec.combine == Combine::kMeanOfNorms ? 0.5f : 1.f;
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(s.batch * s.query_len * s.query_heads,
                          Kernel::kWarps),
                  1, 1}},
        params);
  }
};

}  // namespace rattn::cuda
