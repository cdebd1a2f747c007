// What plans share: inputs in the form that kernels read, in workspace.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cuda/features_kernel.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_states_kernel.h"
#include "kernels/cuda/prepare_kernel.h"
#include "kernels/cuda/views.h"
#include "kernels/rope_scaling.h"
#include "kernels/window.h"

namespace rattn::cuda {

// Runs nothing: with an arena that counts, a plan is a query for its workspace.
struct NoLauncher {
  template <typename Kernel>
  void Run(const LaunchShape&, const typename Kernel::Params&) {}
};

template <typename T, class Launcher>
class PlanBase {
 protected:
  PlanBase(const Problem& problem, const Buffers& buffers, Arena* arena,
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

  LinearShape ShapeOfMemory() const {
    const Shape& s = p_.shape;
    return {.segments = SegmentsOf(),
            .heads = MemoryHeads(p_.spec, s.query_heads),
            .row_group = static_cast<int>(s.query_heads / StateHeads(p_)),
            .kv_group = static_cast<int>(GroupSize(s)),
            .query_len = s.query_len,
            .key_len = s.key_len,
            .delay = MemoryDelay(p_.spec)};
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

  // Sums over segments, of `heads` KV heads or heads of states.
  template <int kFeatures, int kDim, LinearRows kWhich>
  GlobalView<const float> SegmentSums(const GlobalView<const T>& phi,
                                      const GlobalView<const T>& values,
                                      int64_t heads) {
    using Kernel = LinearSegments<T, kDim, kWhich>;
    const LinearShape shape = ShapeOfMemory();
    const int64_t count = shape.segments.count();
    const auto sums = TakeView<float>(
        {p_.shape.batch, heads * count, kFeatures, kDim}, arena_);
    launcher_->template Run<Kernel>(
        OfHeads(static_cast<int>(count) * (kFeatures / Kernel::kRows), heads,
                Kernel::kSharedBytes),
        {.phi = phi, .values = values, .sums = sums, .shape = shape});
    return ReadOnly(sums);
  }

  // The state at the begin of every segment, and the final state if wanted.
  template <int kFeatures, int kDim>
  GlobalView<const T> States(const GlobalView<const T>& phi,
                             const GlobalView<const T>& v,
                             const TensorView& final_state) {
    const int64_t heads = StateHeads(p_), kv_heads = p_.shape.kv_heads;
    const int64_t count = SegmentsOf().count();
    const auto sums =
        SegmentSums<kFeatures, kDim, LinearRows::kKeys>(phi, v, kv_heads);
    const auto states =
        TakeView<T>({p_.shape.batch, heads * count, kFeatures, kDim}, arena_);
    launcher_->template Run<LinearScan<T>>(
        OfHeads(CeilDiv(kFeatures * kDim, LinearScan<T>::kThreads), heads, 0),
        {.sums = sums,
         .states = states,
         .initial_state = ViewOf<const float>(b_.initial_state),
         .final_state = ViewOf<float>(final_state),
         .features = FeatureDim(p_),
         .value_dim = p_.shape.value_dim,
         .group = static_cast<int>(heads / kv_heads),
         .segments = count});
    return ReadOnly(states);
  }

  // What the memory branch reads.
  const TensorView& MemoryQueries() const {
    return b_.q_memory ? b_.q_memory : b_.q;
  }
  const TensorView& MemoryKeys() const {
    return b_.k_memory ? b_.k_memory : b_.k;
  }

  bool SlotQueries() const {
    return p_.positions.rope && SinkCount(p_.spec.local) > 0 &&
           p_.spec.local.sink_positions == SinkPositions::kSlot;
  }
  // How far queries are rotated for sinks.
  int64_t LastSlot() const {
    return SinkQueryPosition(p_.spec.local, kUnboundedWindow);
  }
  // What the softmax kernels read, forward and backward.
  template <int kDim, class Params>
  void FillLocal(const GlobalView<const T>& v, Params* params) {
    const Shape& s = p_.shape;
    const int64_t offset = s.key_len - s.query_len;
    params->q = Prepared<kDim>(b_.q, true, offset, kUnboundedWindow);
    if (SlotQueries()) {
      params->q_sink = Prepared<kDim>(b_.q, true, offset, LastSlot());
    }
    params->k = Prepared<kDim>(b_.k, true, 0, kUnboundedWindow);
    params->v = v;
    params->local = p_.spec.local;
    params->heads = LocalHeads(p_.spec, s.query_heads);
    params->group = static_cast<int>(GroupSize(s));
    params->query_len = s.query_len;
    params->key_len = s.key_len;
    params->scale = static_cast<float>(
        p_.local_scale != 0 ? p_.local_scale
                            : 1 / std::sqrt(static_cast<double>(s.head_dim)));
  }

  // Blocks along x; heads and sequences along y and z.
  LaunchShape OfHeads(int blocks, int64_t heads, int shared_bytes) const {
    return {.grid = {blocks, static_cast<int>(heads),
                     static_cast<int>(p_.shape.batch)},
            .shared_bytes = shared_bytes};
  }

  const Problem& p_;
  const Buffers& b_;
  Arena* arena_;
  Launcher* launcher_;
};

}  // namespace rattn::cuda
