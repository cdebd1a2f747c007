// The launches of a backward pass, in order.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "kernels/cuda/finish_gradient_kernel.h"
#include "kernels/cuda/head_sums_kernel.h"
#include "kernels/cuda/linear_gradient_kernel.h"
#include "kernels/cuda/linear_read_kernel.h"
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
    BackwardPlan(problem, buffers, arena, launcher).RunAll();
  }

 private:
  using Base = PlanBase<T, Launcher>;
  using Base::arena_, Base::b_, Base::launcher_, Base::p_;
  using Base::Base, Base::WithDim, Base::WithMemoryDims;
  using Wide = GlobalView<float>;
  using Part = typename FinishGradient<T>::Part;

  // fp32 gradients with respect to what the kernels read.
  struct Gradients {
    Wide dq, dq_sink, dk, dv;              // local branch
    Wide dq_memory, dk_memory, dv_memory;  // memory branch
  };

  // What the memory branch reads, and what its output was divided by.
  struct MemoryInputs {
    GlobalView<const T> phi_q, phi_k, v, states;
    Wide denominator;
  };

  void RunAll() {
    Gradients to;
    MemoryInputs memory;
    if (HasMemory(p_.spec)) {
      WithMemoryDims([&](auto features, auto dim) {
        memory = PrepareMemory<features, dim>();
      });
    }
    const auto branches = RunOutputGradients(memory.denominator);
    if (HasLocal(p_.spec)) {
      WithDim([&](auto dim) { RunLocal<dim>(branches.branch[0], &to); });
    }
    if (HasMemory(p_.spec)) {
      WithMemoryDims([&](auto features, auto dim) {
        RunMemory<features, dim>(memory, ReadOnly(branches.branch[1].d_x), &to);
      });
    }
    Finish(to);
  }

  Wide TakeRows(int64_t tokens, int64_t heads, int64_t dim) {
    return TakeView<float>({p_.shape.batch, tokens, heads, dim}, arena_);
  }

  // Gradients of the branch outputs, norm scales and sink logits.
  typename OutputGradients<T>::Params RunOutputGradients(
      const Wide& denominator) {
    using Kernel = OutputGradients<T>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.d_o = ViewOf<const T>(b_.d_o);
    params.norms = UsesNorms(p_.spec);
    params.weight = this->BranchWeight();
    const auto fill = [&](auto* branch, const TensorView& x,
                          const TensorView& norm, HeadRange heads,
                          int64_t columns) {
      branch->x = ViewOf<const float>(x);
      branch->norm = ViewOf<const float>(norm);
      branch->d_x = TakeView<T>({s.batch, s.query_len, s.query_heads,
                                 PaddedDim(std::max(s.head_dim, columns))},
                                arena_);
      branch->inverse = TakeRows(s.query_len, s.query_heads, 1);
      branch->dot = TakeRows(s.query_len, s.query_heads, 1);
      branch->heads = heads;
    };
    if (HasLocal(p_.spec)) {
      fill(&params.branch[0], b_.o_local, b_.norm_local,
           LocalHeads(p_.spec, s.query_heads), s.value_dim);
    }
    if (HasMemory(p_.spec)) {
      fill(&params.branch[1], b_.o_memory, b_.norm_memory,
           MemoryHeads(p_.spec, s.query_heads), ValueColumns(p_));
      params.branch[1].denominator = ReadOnly(denominator);
      params.branch[1].scale = static_cast<float>(p_.memory_scale);
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
  void RunLocal(const typename OutputGradients<T>::Branch& branch,
                Gradients* to) {
    const Shape& s = p_.shape;
    SoftmaxGradients<T> params;
    this->template FillLocal<kDim>(&params);
    params.k = this->template LocalKeys<kDim>();
    params.v = this->template Values<kDim>();
    params.pack = this->pack_;
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
        this->OfHeads(this->BlocksOf(s.query_len, {params.group, Q::kRows}),
                      s.kv_heads, Q::kSharedBytes),
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
    const int blocks =
        this->IsPack()
            ? this->BlocksOf(keys, Kernel::CutOf(p_.spec.local, keys))
            : static_cast<int>(Kernel::Blocks(sinks, keys));
    launcher_->template Run<Kernel>(
        this->OfHeads(blocks, p_.shape.kv_heads, Kernel::kSharedBytes), params);
  }

  // States of the backward pass, and the initial state's gradient.
  template <int kFeatures, int kDim>
  GlobalView<const T> StatesBack(const GlobalView<const T>& phi_q,
                                 const GlobalView<const T>& d_o) {
    using Scan = LinearScanBack<T>;
    const int64_t heads = StateHeads(p_), kv_heads = p_.shape.kv_heads;
    const LinearShape shape = this->ShapeOfMemory();
    const auto sums =
        this->template SegmentSums<kFeatures, kDim, LinearRows::kQueries>(
            phi_q, d_o, heads);
    const auto states = TakeView<T>(
        {p_.shape.batch, kv_heads * shape.all_segments, kFeatures, kDim},
        arena_);
    launcher_->template Run<Scan>(
        this->OfStates(CeilDiv(kFeatures * kDim, Scan::kThreads), kv_heads),
        {.sums = sums,
         .states = states,
         .d_final_state = ViewOf<const float>(b_.d_final_state),
         .d_initial_state = ViewOf<float>(b_.d_initial_state),
         .features = FeatureDim(p_),
         .value_dim = p_.shape.value_dim,
         .group = static_cast<int>(heads / kv_heads),
         .shape = shape});
    return ReadOnly(states);
  }

  // One gradient of features, and through them of their input.
  template <int kFeatures, int kDim, LinearRows kWhich>
  Wide FeatureGradientOf(const GlobalView<const T>& rows,
                         const GlobalView<const T>& columns,
                         const GlobalView<const T>& features,
                         const GlobalView<const T>& states,
                         const TensorView& input) {
    constexpr int kPart = kFeatures < 128 || kDim > 128 ? 64 : 128;
    constexpr bool kOfQueries = kWhich == LinearRows::kQueries;
    using Kernel = LinearGradient<T, kPart, kDim, kWhich>;
    using Back = FeatureGradient<T, kDim>;
    const Shape& s = p_.shape;
    const LinearShape shape = this->ShapeOfMemory();
    const int blocks = this->BlocksOf(kOfQueries ? s.query_len : s.key_len,
                                      Kernel::Pattern::CutOf(shape));
    const auto d_phi = TakeRows(input.shape[1], input.shape[2], kFeatures);
    launcher_->template Run<Kernel>(
        this->OfHeads(blocks * (kFeatures / kPart),
                      kOfQueries ? StateHeads(p_) : s.kv_heads,
                      Kernel::kSharedBytes),
        {rows, columns, features, states, d_phi, shape});
    const Wide d_in = TakeRows(input.shape[1], input.shape[2], s.head_dim);
    launcher_->template Run<Back>(
        {.grid = {CeilDiv(s.batch * input.shape[1] * input.shape[2],
                          Back::kWarps),
                  1, 1}},
        {.in = ViewOf<const T>(input),
         .d_phi = ReadOnly(d_phi),
         .d_in = d_in,
         .heads = kOfQueries ? shape.heads : HeadRange{0, s.kv_heads},
         .map = p_.spec.memory.feature_map});
    return d_in;
  }

  template <int kFeatures, int kDim>
  MemoryInputs PrepareMemory() {
    MemoryInputs in;
    in.phi_q = this->template Features<kFeatures, kDim>(this->MemoryQueries());
    in.phi_k = this->template Features<kFeatures, kDim>(this->MemoryKeys());
    in.v = this->template MemoryValues<kDim>();
    in.states =
        this->template States<kFeatures, kDim>(in.phi_k, in.v, TensorView{});
    if (ValueColumns(p_) == p_.shape.value_dim) return in;
    using Kernel = LinearRead<T, kFeatures, kDim, LinearRows::kQueries>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.rows = in.phi_q;
    params.columns = in.phi_k;
    params.values = in.v;
    params.states = in.states;
    params.normalize = true;
    params.denominator = in.denominator =
        TakeRows(s.query_len, s.query_heads, 1);
    params.shape = this->ShapeOfMemory();
    params.value_dim = static_cast<int>(s.value_dim);
    params.scale = static_cast<float>(p_.memory_scale);
    launcher_->template Run<Kernel>(
        this->OfHeads(
            this->BlocksOf(s.query_len, Kernel::Pattern::CutOf(params.shape)),
            StateHeads(p_), Kernel::kSharedBytes),
        params);
    return in;
  }

  template <int kFeatures, int kDim>
  void RunMemory(const MemoryInputs& in, const GlobalView<const T>& d_o,
                 Gradients* to) {
    constexpr LinearRows kQueries = LinearRows::kQueries;
    constexpr LinearRows kKeys = LinearRows::kKeys;
    const auto& [phi_q, phi_k, v, states, denominator] = in;
    const auto back = StatesBack<kFeatures, kDim>(phi_q, d_o);
    to->dq_memory = FeatureGradientOf<kFeatures, kDim, kQueries>(
        d_o, v, phi_k, states, this->MemoryQueries());
    to->dk_memory = FeatureGradientOf<kFeatures, kDim, kKeys>(
        v, d_o, phi_q, back, this->MemoryKeys());
    using Kernel = LinearRead<T, kFeatures, kDim, kKeys>;
    typename Kernel::Params params;
    params.rows = phi_k;
    params.columns = phi_q;
    params.values = d_o;
    params.states = back;
    params.o_wide = to->dv_memory =
        TakeRows(p_.shape.key_len, p_.shape.kv_heads, kDim);
    params.shape = this->ShapeOfMemory();
    params.value_dim = kDim;
    launcher_->template Run<Kernel>(
        this->OfHeads(this->BlocksOf(p_.shape.key_len,
                                     Kernel::Pattern::CutOf(params.shape)),
                      p_.shape.kv_heads, Kernel::kSharedBytes),
        params);
  }

  // Sums, turns back and rounds the parts of each input's gradient.
  void Finish(const Gradients& from) {
    const Shape& s = p_.shape;
    const HeadRange local = LocalHeads(p_.spec, s.query_heads);
    const HeadRange memory = MemoryHeads(p_.spec, s.query_heads);
    const HeadRange kv = {0, s.kv_heads};
    const int64_t offset = s.key_len - s.query_len;
    const bool rope = p_.positions.rope;
    const Part q_memory = {ReadOnly(from.dq_memory), memory};
    const Part k_memory = {ReadOnly(from.dk_memory), kv};
    const bool own_q = static_cast<bool>(b_.q_memory);
    const bool own_k = static_cast<bool>(b_.k_memory);
    FinishOne(b_.dq, offset,
              {Part{ReadOnly(from.dq), local, rope, kUnboundedWindow},
               Part{ReadOnly(from.dq_sink), local, rope, this->LastSlot()},
               own_q ? Part{} : q_memory});
    FinishOne(b_.dk, 0,
              {Part{ReadOnly(from.dk), kv, rope, kUnboundedWindow},
               own_k ? Part{} : k_memory});
    FinishOne(
        b_.dv, 0,
        {Part{ReadOnly(from.dv), kv}, Part{ReadOnly(from.dv_memory), kv}});
    if (own_q) FinishOne(b_.dq_memory, 0, {q_memory});
    if (own_k) FinishOne(b_.dk_memory, 0, {k_memory});
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
    params.pack = this->pack_;
    if (p_.positions.rope) this->FillFrequencies(params.frequency);
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(out.shape[1] * out.shape[3] / 2, Kernel::kThreads), 1,
                  1}},
        params);
  }
};

}  // namespace rattn::cuda
