// The launches of a forward pass, in order. On a launcher that runs nothing
// and an arena that counts, this is the query for the workspace.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cuda/combine_kernel.h"
#include "kernels/cuda/features_kernel.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_forward_kernel.h"
#include "kernels/cuda/linear_states_kernel.h"
#include "kernels/cuda/prepare_kernel.h"
#include "kernels/cuda/softmax_forward_kernel.h"
#include "kernels/cuda/views.h"
#include "kernels/rope_scaling.h"
#include "kernels/window.h"

namespace rattn::cuda {

template <typename T, class Launcher>
class ForwardPlan {
 public:
  // Runs the launches of `problem` (CudaSupports) on device pointers.
  static void Run(const Problem& problem, const Buffers& buffers, Arena* arena,
                  Launcher* launcher) {
    ForwardPlan plan(problem, buffers, arena, launcher);
    plan.WithDim([&plan](auto dim) { plan.template RunBranches<dim>(); });
  }

 private:
  ForwardPlan(const Problem& problem, const Buffers& buffers, Arena* arena,
              Launcher* launcher)
      : p_(problem), b_(buffers), arena_(arena), launcher_(launcher) {}

  template <typename Call>
  void WithDim(const Call& call) {
    const int64_t most = std::max(p_.shape.head_dim, p_.shape.value_dim);
    switch (PaddedDim(most)) {
      case 64:
        return call(std::integral_constant<int, 64>());
      case 128:
        return call(std::integral_constant<int, 128>());
      default:
        return call(std::integral_constant<int, 256>());
    }
  }

  bool NeedsCombine() const {
    return UsesNorms(p_.spec) || (HasLocal(p_.spec) && HasMemory(p_.spec));
  }
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
    const auto v = Prepared<kDim>(b_.v, false, 0, 0);
    if (HasLocal(p_.spec)) local = RunLocal<kDim>(v);
    if (HasMemory(p_.spec)) {
      memory = p_.spec.memory.feature_map == FeatureMap::kIdentity
                   ? RunMemory<kDim, kDim>(v)
                   : RunMemory<2 * kDim, kDim>(v);
    }
    if (NeedsCombine()) RunCombine(local, memory);
  }

  // `input` as tiles are copied from it; queries and keys of the local branch
  // are rotated, at most as far as `last_position`.
  template <int kDim>
  GlobalView<const T> Prepared(const TensorView& input, bool rotate,
                               int64_t first_position, int64_t last_position) {
    const auto view = ViewOf<const T>(input);
    const bool rope = rotate && p_.positions.rope;
    if (!rope && IsCopyable(view, kDim)) return view;
    const auto out = TakeView<T>(
        {input.shape[0], input.shape[1], input.shape[2], kDim}, arena_);
    typename PrepareRows<T>::Params params;
    params.in = view;
    params.out = out;
    params.rope = rope;
    params.interleaved = p_.positions.layout == RopeLayout::kInterleaved;
    params.first_position = first_position;
    params.last_position = last_position;
    if (rope) FillFrequencies(params.frequency);
    launcher_->template Run<PrepareRows<T>>(
        {.grid = {CeilDiv(input.shape[1] * kDim / 2, PrepareRows<T>::kThreads),
                  1, 1}},
        params);
    return ReadOnly(out);
  }

  void FillFrequencies(double* frequency) const {
    const auto dim = static_cast<double>(p_.shape.head_dim);
    for (int64_t i = 0; i < p_.shape.head_dim / 2; ++i) {
      frequency[i] = ScaledFrequency(
          p_.positions.scaling,
          std::pow(p_.positions.theta, -2 * static_cast<double>(i) / dim));
    }
  }

  template <int kDim>
  GlobalView<float> RunLocal(const GlobalView<const T>& v) {
    using Kernel = SoftmaxForward<T, kDim>;
    const Shape& s = p_.shape;
    const LocalSpec& local = p_.spec.local;
    const int64_t offset = s.key_len - s.query_len;
    const bool slots = p_.positions.rope && SinkCount(local) > 0 &&
                       local.sink_positions == SinkPositions::kSlot;
    typename Kernel::Params params;
    params.q = Prepared<kDim>(b_.q, true, offset, kUnboundedWindow);
    if (slots) {
      params.q_sink = Prepared<kDim>(
          b_.q, true, offset, SinkQueryPosition(local, kUnboundedWindow));
    }
    params.k = Prepared<kDim>(b_.k, true, 0, kUnboundedWindow);
    params.v = v;
    if (!NeedsCombine()) params.o = ViewOf<T>(b_.o);
    params.o_wide = WideOutput(b_.o_local);
    params.lse = ViewOf<float>(b_.lse);
    params.max_logits = ViewOf<float>(b_.max_logits);
    params.sink_logit = ViewOf<const float>(b_.sink_logit);
    params.local = local;
    params.heads = LocalHeads(p_.spec, s.query_heads);
    params.group = static_cast<int>(GroupSize(s));
    params.query_len = s.query_len;
    params.key_len = s.key_len;
    params.value_dim = static_cast<int>(s.value_dim);
    params.scale = static_cast<float>(
        p_.local_scale != 0 ? p_.local_scale
                            : 1 / std::sqrt(static_cast<double>(s.head_dim)));
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(s.query_len * params.group, Kernel::kRows),
                  static_cast<int>(s.kv_heads), static_cast<int>(s.batch)},
         .shared_bytes = Kernel::SharedBytes(slots)},
        params);
    return params.o_wide;
  }

  // Tokens between kept states: m chunks.
  Segments SegmentsOf() const {
    constexpr int64_t kChunk = 64, kStateEvery = 4;
    const Tiling& tiling = p_.tiling;
    const int64_t most = p_.shape.key_len;
    const int64_t chunk =
        std::min(tiling.chunk > 0 ? tiling.chunk : kChunk, most);
    const int64_t every = std::min(
        tiling.state_every > 0 ? tiling.state_every : kStateEvery, most);
    return {.tokens = chunk * every, .end = most - MemoryDelay(p_.spec)};
  }

  template <int kFeatures, int kDim>
  GlobalView<const T> Features(const TensorView& input) {
    using Kernel = FeatureRows<T, kDim>;
    const auto out = TakeView<T>(
        {input.shape[0], input.shape[1], input.shape[2], kFeatures}, arena_);
    const int64_t rows = input.shape[0] * input.shape[1] * input.shape[2];
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(rows, Kernel::kWarps), 1, 1}},
        {.in = ViewOf<const T>(input),
         .out = out,
         .map = p_.spec.memory.feature_map});
    return ReadOnly(out);
  }

  // The state at the begin of every segment, and the final state.
  template <int kFeatures, int kDim>
  GlobalView<const T> States(const GlobalView<const T>& phi,
                             const GlobalView<const T>& v,
                             const Segments& segments) {
    using Sums = LinearSegments<T, kDim>;
    const Shape& s = p_.shape;
    const int64_t count = segments.count();
    const auto sums =
        TakeView<float>({s.batch, s.kv_heads * count, kFeatures, kDim}, arena_);
    const auto states =
        TakeView<T>({s.batch, StateHeads(p_) * count, kFeatures, kDim}, arena_);
    const auto batch = static_cast<int>(s.batch);
    launcher_->template Run<Sums>(
        {.grid = {static_cast<int>(count) * (kFeatures / Sums::kRows),
                  static_cast<int>(s.kv_heads), batch},
         .shared_bytes = Sums::kSharedBytes},
        {.phi = phi, .v = v, .sums = sums, .segments = segments});
    launcher_->template Run<LinearScan<T>>(
        {.grid = {CeilDiv(kFeatures * kDim, LinearScan<T>::kThreads),
                  static_cast<int>(StateHeads(p_)), batch}},
        {.sums = ReadOnly(sums),
         .states = states,
         .initial_state = ViewOf<const float>(b_.initial_state),
         .final_state = ViewOf<float>(b_.final_state),
         .features = FeatureDim(p_),
         .value_dim = s.value_dim,
         .group = static_cast<int>(StateHeads(p_) / s.kv_heads),
         .segments = count});
    return ReadOnly(states);
  }

  template <int kFeatures, int kDim>
  GlobalView<float> RunMemory(const GlobalView<const T>& v) {
    using Kernel = LinearForward<T, kFeatures, kDim>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.phi_q = Features<kFeatures, kDim>(b_.q_memory ? b_.q_memory : b_.q);
    params.phi_k = Features<kFeatures, kDim>(b_.k_memory ? b_.k_memory : b_.k);
    params.v = v;
    params.segments = SegmentsOf();
    params.states = States<kFeatures, kDim>(params.phi_k, v, params.segments);
    if (!NeedsCombine()) params.o = ViewOf<T>(b_.o);
    params.o_wide = WideOutput(b_.o_memory);
    params.heads = MemoryHeads(p_.spec, s.query_heads);
    params.row_group = static_cast<int>(s.query_heads / StateHeads(p_));
    params.kv_group = static_cast<int>(GroupSize(s));
    params.query_len = s.query_len;
    params.key_len = s.key_len;
    params.delay = MemoryDelay(p_.spec);
    params.value_dim = static_cast<int>(s.value_dim);
    params.scale = static_cast<float>(p_.memory_scale);
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(s.query_len * params.row_group, Kernel::kRows),
                  static_cast<int>(StateHeads(p_)), static_cast<int>(s.batch)},
         .shared_bytes = Kernel::kSharedBytes},
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

  const Problem& p_;
  const Buffers& b_;
  Arena* arena_;
  Launcher* launcher_;
};

// Runs nothing.
struct NoLauncher {
  template <typename Kernel>
  void Run(const LaunchShape&, const typename Kernel::Params&) {}
};

}  // namespace rattn::cuda
