// The launches of a backward pass, in order.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "kernels/cuda/finish_gradient_kernel.h"
#include "kernels/cuda/head_sums_kernel.h"
#include "kernels/cuda/output_gradients_kernel.h"
#include "kernels/cuda/plan_base.h"
#include "kernels/cuda/softmax_backward_kernel.h"

namespace rattn::cuda {

template <typename T, class Launcher>
class BackwardPlan : private PlanBase<T, Launcher> {
 public:
  // After Forward in phase kTrain on the same buffers.
  static void Run(const Problem& problem, const Buffers& buffers, Arena* arena,
                  Launcher* launcher) {
    BackwardPlan plan(problem, buffers, arena, launcher);
    plan.WithDim([&plan](auto dim) { plan.template RunAll<dim>(); });
  }

 private:
  using Base = PlanBase<T, Launcher>;
  using Base::arena_, Base::b_, Base::launcher_, Base::p_;
  using Base::Base, Base::WithDim;
  using Wide = GlobalView<float>;
  using Part = typename FinishGradient<T>::Part;

  // fp32 gradients with respect to what the kernels read.
  struct Gradients {
    Wide dq, dq_sink, dk, dv;  // local branch
  };

  template <int kDim>
  void RunAll() {
    Gradients to;
    const auto v = this->template Prepared<kDim>(b_.v, false, 0, 0);
    const auto branches = OutputGradientsOf<kDim>();
    if (HasLocal(p_.spec)) RunLocal<kDim>(v, branches.branch[0], &to);
    Finish(to);
  }

  Wide TakeRows(int64_t tokens, int64_t heads, int64_t dim) {
    return TakeView<float>({p_.shape.batch, tokens, heads, dim}, arena_);
  }

  // Gradients of the branch outputs, norm scales and sink logits.
  template <int kDim>
  typename OutputGradients<T>::Params OutputGradientsOf() {
    using Kernel = OutputGradients<T>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.d_o = ViewOf<const T>(b_.d_o);
    params.norms = UsesNorms(p_.spec);
    params.weight = p_.spec.combine == Combine::kMeanOfNorms ? 0.5f : 1.f;
    const auto fill = [&](auto* branch, const TensorView& x,
                          const TensorView& norm, HeadRange heads) {
      branch->x = ViewOf<const float>(x);
      branch->norm = ViewOf<const float>(norm);
      branch->d_x =
          TakeView<T>({s.batch, s.query_len, s.query_heads, kDim}, arena_);
      branch->inverse = TakeRows(s.query_len, s.query_heads, 1);
      branch->dot = TakeRows(s.query_len, s.query_heads, 1);
      branch->heads = heads;
    };
    if (HasLocal(p_.spec)) {
      fill(&params.branch[0], b_.o_local, b_.norm_local,
           LocalHeads(p_.spec, s.query_heads));
    }
    if (HasMemory(p_.spec)) {
      fill(&params.branch[1], b_.o_memory, b_.norm_memory,
           MemoryHeads(p_.spec, s.query_heads));
    }
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(s.batch * s.query_len * s.query_heads,
                          Kernel::kWarps),
                  1, 1}},
        params);
    RunNormGradient(params, 0, b_.d_norm_local);
    RunNormGradient(params, 1, b_.d_norm_memory);
    return params;
  }

  template <class Kernel>
  void RunHeadSums(typename Kernel::Params params) {
    params.batch = p_.shape.batch;
    params.tokens = p_.shape.query_len;
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(params.out.shape[3], kWarpSize),
                  static_cast<int>(params.out.shape[2]), 1},
         .shared_bytes = Kernel::kSharedBytes},
        params);
  }
  void RunNormGradient(const typename OutputGradients<T>::Params& from,
                       int which, const TensorView& out) {
    if (!out) return;
    const auto& branch = from.branch[which];
    typename NormGradient<T>::Params params;
    params.d_o = from.d_o;
    params.x = branch.x;
    params.inverse = ReadOnly(branch.inverse);
    params.out = ViewOf<float>(out);
    params.heads = branch.heads;
    params.weight = from.weight;
    RunHeadSums<NormGradient<T>>(params);
  }
  void RunSinkGradient(const Wide& dot) {
    if (!b_.d_sink_logit) return;
    SinkGradient::Params params;
    params.sink_logit = ViewOf<const float>(HeadsThird(b_.sink_logit));
    params.lse = ViewOf<const float>(b_.lse);
    params.dot = ReadOnly(dot);
    params.out = ViewOf<float>(HeadsThird(b_.d_sink_logit));
    params.heads = LocalHeads(p_.spec, p_.shape.query_heads);
    RunHeadSums<SinkGradient>(params);
  }
  // [1, 1, 1, Hq] as [1, 1, Hq, 1].
  static TensorView HeadsThird(TensorView view) {
    std::swap(view.shape[2], view.shape[3]);
    std::swap(view.stride[2], view.stride[3]);
    return view;
  }

  template <int kDim>
  void RunLocal(const GlobalView<const T>& v,
                const typename OutputGradients<T>::Branch& branch,
                Gradients* to) {
    const Shape& s = p_.shape;
    SoftmaxGradients<T> params;
    this->template FillLocal<kDim>(v, &params);
    params.d_o = ReadOnly(branch.d_x);
    params.lse = ViewOf<const float>(b_.lse);
    params.delta = ReadOnly(branch.dot);
    params.dq = to->dq = TakeRows(s.query_len, s.query_heads, kDim);
    if (this->SlotQueries()) {
      params.dq_sink = to->dq_sink = TakeRows(s.query_len, s.query_heads, kDim);
    }
    params.dk = to->dk = TakeRows(s.key_len, s.kv_heads, kDim);
    params.dv = to->dv = TakeRows(s.key_len, s.kv_heads, kDim);
    using Q = SoftmaxBackwardQ<T, kDim>;
    launcher_->template Run<Q>(
        this->OfKvHeads(CeilDiv(s.query_len * params.group, Q::kRows),
                        Q::SharedBytes(this->SlotQueries())),
        params);
    if constexpr (kDim > 128) {
      RunKeys<SoftmaxBackwardK<T, kDim, KeyGradients::kKeysOnly>>(params);
      RunKeys<SoftmaxBackwardK<T, kDim, KeyGradients::kValuesOnly>>(params);
    } else {
      RunKeys<SoftmaxBackwardK<T, kDim, KeyGradients::kBoth>>(params);
    }
    RunSinkGradient(branch.dot);
  }
  template <class Kernel>
  void RunKeys(const SoftmaxGradients<T>& params) {
    const int64_t keys = p_.shape.key_len;
    const int64_t sinks = std::min(SinkCount(p_.spec.local), keys);
    launcher_->template Run<Kernel>(
        this->OfKvHeads(static_cast<int>(Kernel::Blocks(sinks, keys)),
                        Kernel::kSharedBytes),
        params);
  }

  // Sums, turns back and rounds the parts of each input's gradient.
  void Finish(const Gradients& from) {
    const Shape& s = p_.shape;
    const HeadRange local = LocalHeads(p_.spec, s.query_heads);
    const HeadRange kv = {0, s.kv_heads};
    const bool rope = p_.positions.rope;
    FinishOne(b_.dq, s.key_len - s.query_len,
              {Part{ReadOnly(from.dq), local, rope, kUnboundedWindow},
               Part{ReadOnly(from.dq_sink), local, rope, this->LastSlot()}});
    FinishOne(b_.dk, 0, {Part{ReadOnly(from.dk), kv, rope, kUnboundedWindow}});
    FinishOne(b_.dv, 0, {Part{ReadOnly(from.dv), kv}});
  }
  void FinishOne(const TensorView& out, int64_t first_position,
                 std::initializer_list<Part> parts) {
    if (!out) return;
    using Kernel = FinishGradient<T>;
    typename Kernel::Params params;
    std::copy(parts.begin(), parts.end(), params.part);
    params.out = ViewOf<T>(out);
    params.interleaved = p_.positions.layout == RopeLayout::kInterleaved;
    params.first_position = first_position;
    if (p_.positions.rope) this->FillFrequencies(params.frequency);
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(out.shape[1] * out.shape[3] / 2, Kernel::kThreads), 1,
                  1}},
        params);
  }
};

}  // namespace rattn::cuda
