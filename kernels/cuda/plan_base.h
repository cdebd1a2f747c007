// What plans share: inputs in the form that kernels read, in workspace.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cuda/features_kernel.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_states_kernel.h"
#include "kernels/cuda/packed_sequences.h"
#include "kernels/cuda/prepare_kernel.h"
#include "kernels/cuda/views.h"
#include "kernels/rope_scaling.h"
#include "kernels/window.h"

namespace rattn::cuda {

// Runs nothing: with an arena that counts, a plan is a query for its workspace.
struct NoLauncher {
  Gpu gpu() const { return {}; }
  template <typename Kernel>
  void Run(const LaunchShape&, const typename Kernel::Params&) {}
};

// Columns that the memory reads: values and, for Normalizer::kSum, two of ones:
// the gradient of one sum of weights takes two rounded numbers.
inline int64_t ValueColumns(const Problem& p) {
  const bool sum = p.spec.memory.normalizer == Normalizer::kSum;
  return p.shape.value_dim + (sum ? 2 : 0);
}

template <typename T, class Launcher>
class PlanBase {
 protected:
  PlanBase(const Problem& problem, const Buffers& buffers, Arena* arena,
           Launcher* launcher)
      : p_(problem),
        b_(buffers),
        arena_(arena),
        launcher_(launcher),
        offset_(problem.shape.key_len - problem.shape.query_len),
        memory_tokens_(problem.shape.key_len),
        pack_(TakePack()) {}

  // The dim that rows of the local branch are padded to.
  template <typename Call>
  void WithDim(const Call& call) {
    WithPadded(std::max(p_.shape.head_dim, p_.shape.value_dim), call);
  }
  // The features and columns of values that the memory's are padded to.
  template <typename Call>
  void WithMemoryDims(const Call& call) {
    const int64_t most = std::max(p_.shape.head_dim, ValueColumns(p_));
    WithPadded(most, [&](auto dim) {
      if (FeatureDim(p_) <= dim) {
        call(dim, dim);
      } else {
        call(std::integral_constant<int, 2 * dim>(), dim);
      }
    });
  }
  template <typename Call>
  static void WithPadded(int64_t dim, const Call& call) {
    switch (PaddedDim(dim)) {
      case 64:
        return call(std::integral_constant<int, 64>());
      case 128:
        return call(std::integral_constant<int, 128>());
      default:
        return call(std::integral_constant<int, 256>());
    }
  }

  float BranchWeight() const {
    return p_.spec.combine == Combine::kMeanOfNorms ? 0.5f : 1.f;
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
    Prepare(view, out, rope ? 1 : 0, first_position, last_position);
    return ReadOnly(out);
  }
  // Prepared once for both branches.
  template <int kDim>
  GlobalView<const T> Values() {
    if (values_.shape[3] != kDim) values_ = Prepared<kDim>(b_.v, false, 0, 0);
    return values_;
  }
  // Values as the memory reads them. With Normalizer::kSum they have columns
  // of ones: what the memory returns there is the sum of its weights.
  template <int kDim>
  GlobalView<const T> MemoryValues() {
    if (ValueColumns(p_) == p_.shape.value_dim) return Values<kDim>();
    const TensorView& v = b_.v;
    const auto out =
        TakeView<T>({v.shape[0], v.shape[1], v.shape[2], kDim}, arena_);
    PrepareMemoryValues(ViewOf<const T>(v), out);
    return ReadOnly(out);
  }
  void PrepareMemoryValues(const GlobalView<const T>& in,
                           const GlobalView<T>& out) {
    const bool ones = ValueColumns(p_) > p_.shape.value_dim;
    Prepare(in, out, 0, 0, 0, ones ? p_.shape.value_dim : -1);
  }

  // turn: 1 rotates, -1 turns back, 0 does neither.
  void Prepare(const GlobalView<const T>& in, const GlobalView<T>& out,
               int turn, int64_t first_position, int64_t last_position,
               int64_t one_column = -1) {
    if (out.shape[1] == 0) return;
    typename PrepareRows<T>::Params params;
    params.in = in;
    params.out = out;
    params.rope = turn != 0;
    params.interleaved = p_.positions.layout == RopeLayout::kInterleaved;
    params.first_position = first_position;
    params.last_position = last_position;
    params.pack = pack_;
    params.one_column = one_column;
    if (turn != 0) FillFrequencies(params.frequency, turn);
    launcher_->template Run<PrepareRows<T>>(
        {.grid = {CeilDiv(out.shape[1] * out.shape[3] / 2,
                          PrepareRows<T>::kThreads),
                  1, 1}},
        params);
  }

  void FillFrequencies(double* frequency, int turn = 1) const {
    const auto dim = static_cast<double>(p_.shape.head_dim);
    for (int64_t i = 0; i < p_.shape.head_dim / 2; ++i) {
      frequency[i] =
          turn * ScaledFrequency(p_.positions.scaling,
                                 std::pow(p_.positions.theta,
                                          -2 * static_cast<double>(i) / dim));
    }
  }

  // Blocks along x for the rows of `tokens` tokens.
  int BlocksOf(int64_t tokens, const Cut& cut) const {
    return static_cast<int>(PiecesOf(tokens, cut));
  }
  int64_t PiecesOf(int64_t tokens, const Cut& cut) const {
    if (IsPack()) {
      return cut.Begin(static_cast<int>(tokens),
                       static_cast<int>(SequenceCount(p_)));
    }
    return CeilDiv(tokens * cut.rows_of_token, cut.rows);
  }
  bool IsPack() const { return !p_.cu_seqlens.empty(); }

  LinearShape ShapeOfMemory() const {
    const Shape& s = p_.shape;
    return {.segments = SegmentsOf(),
            .heads = MemoryHeads(p_.spec, s.query_heads),
            .row_group = static_cast<int>(s.query_heads / StateHeads(p_)),
            .kv_group = static_cast<int>(GroupSize(s)),
            .query_len = static_cast<int>(s.query_len),
            .key_len = static_cast<int>(memory_tokens_),
            .delay = Delay(),
            .all_segments = AllSegments(),
            .pack = pack_};
  }
  // Of a head, those of a whole pack.
  int AllSegments() const {
    const Segments segments = SegmentsOf();
    if (!IsPack()) return segments.count();
    return BlocksOf(memory_tokens_, {.rows = segments.tokens});
  }
  // At which nothing is read is as good as any longer one.
  int Delay() const {
    return static_cast<int>(std::min(MemoryDelay(p_.spec), memory_tokens_));
  }
  // Tokens between kept states: m chunks.
  Segments SegmentsOf() const {
    constexpr int64_t kChunk = 64, kStateEvery = 4;
    const Tiling& tiling = p_.tiling;
    const int64_t most = memory_tokens_;
    const int64_t chunk =
        std::min(tiling.chunk > 0 ? tiling.chunk : kChunk, most);
    const int64_t every = std::min(
        tiling.state_every > 0 ? tiling.state_every : kStateEvery, most);
    return {.tokens = static_cast<int>(std::min(chunk * every, most)),
            .end = static_cast<int>(most) - Delay()};
  }

  template <int kFeatures, int kDim>
  GlobalView<const T> Features(const TensorView& input) {
    const auto out = TakeView<T>(
        {input.shape[0], input.shape[1], input.shape[2], kFeatures}, arena_);
    RunFeatures<kDim>(ViewOf<const T>(input), out);
    return ReadOnly(out);
  }
  template <int kDim, typename Out>
  void RunFeatures(const GlobalView<const T>& in, const GlobalView<Out>& out) {
    using Kernel = FeatureRows<T, kDim, Out>;
    const int64_t rows = out.shape[0] * out.shape[1] * out.shape[2];
    if (rows == 0) return;
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(rows, Kernel::kWarps), 1, 1}},
        {.in = in, .out = out, .map = p_.spec.memory.feature_map});
  }

  // Sums over segments, of `heads` KV heads or heads of states.
  template <int kFeatures, int kDim, LinearRows kWhich>
  GlobalView<const float> SegmentSums(const GlobalView<const T>& phi,
                                      const GlobalView<const T>& values,
                                      int64_t heads) {
    using Kernel = LinearSegments<T, kDim, kWhich>;
    const LinearShape shape = ShapeOfMemory();
    const int64_t count = shape.all_segments;
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
    const LinearShape shape = ShapeOfMemory();
    const auto sums =
        SegmentSums<kFeatures, kDim, LinearRows::kKeys>(phi, v, kv_heads);
    const auto states = TakeView<T>(
        {p_.shape.batch, heads * shape.all_segments, kFeatures, kDim}, arena_);
    launcher_->template Run<LinearScan<T>>(
        OfStates(CeilDiv(kFeatures * kDim, LinearScan<T>::kThreads), heads),
        {.sums = sums,
         .states = states,
         .initial_state = ViewOf<const float>(b_.initial_state),
         .final_state = ViewOf<float>(final_state),
         .key_sum = old_key_sum_,
         .final_key_sum = key_sum_,
         .features = FeatureDim(p_),
         .value_dim = p_.shape.value_dim,
         .group = static_cast<int>(heads / kv_heads),
         .shape = shape});
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
  // What the softmax kernels read of queries, forward and backward.
  template <int kDim, class Params>
  void FillLocal(Params* params) {
    const Shape& s = p_.shape;
    params->q = Prepared<kDim>(b_.q, true, offset_, kUnboundedWindow);
    if (SlotQueries()) {
      params->q_sink = Prepared<kDim>(b_.q, true, offset_, LastSlot());
    }
    params->local = p_.spec.local;
    params->heads = LocalHeads(p_.spec, s.query_heads);
    params->group = static_cast<int>(GroupSize(s));
    params->query_len = s.query_len;
    params->key_len = offset_ + s.query_len;
    params->scale = static_cast<float>(
        p_.local_scale != 0 ? p_.local_scale
                            : 1 / std::sqrt(static_cast<double>(s.head_dim)));
  }
  // Keys as the local branch reads them.
  template <int kDim>
  GlobalView<const T> LocalKeys() {
    const int64_t first = offset_ + p_.shape.query_len - p_.shape.key_len;
    return Prepared<kDim>(b_.k, true, first, kUnboundedWindow);
  }

  // Blocks along x; heads and sequences along y and z.
  LaunchShape OfHeads(int blocks, int64_t heads, int shared_bytes) const {
    return {.grid = {blocks, static_cast<int>(heads),
                     static_cast<int>(p_.shape.batch)},
            .shared_bytes = shared_bytes};
  }
  // The sequences of a pack along z.
  LaunchShape OfStates(int blocks, int64_t heads) const {
    return {.grid = {blocks, static_cast<int>(heads),
                     static_cast<int>(SequenceCount(p_))}};
  }

  const Problem& p_;
  const Buffers& b_;
  Arena* arena_;
  Launcher* launcher_;
  GlobalView<const T> values_;
  // Of a cache, with Normalizer::kSum: at the start, and where it is kept.
  GlobalView<const float> old_key_sum_;
  GlobalView<float> key_sum_;
  int64_t offset_;         // position of the first query
  int64_t memory_tokens_;  // that the memory counts; the last is the last query
  PackedSequences pack_;   // on the device, if there is one

 private:
  PackedSequences TakePack() {
    if (!IsPack()) return {};
    const auto& offsets = p_.cu_seqlens;
    const auto all = static_cast<int64_t>(offsets.size());
    typename StoreOffsets::Params params;
    params.out = TakeView<int>({1, 1, 1, all}, arena_);
    for (int64_t first = 0; first < all; first += StoreOffsets::kMost) {
      params.first = static_cast<int>(first);
      params.count =
          static_cast<int>(std::min<int64_t>(StoreOffsets::kMost, all - first));
      for (int i = 0; i < params.count; ++i) {
        params.offset[i] =
            static_cast<int>(offsets[static_cast<size_t>(first + i)]);
      }
      launcher_->template Run<StoreOffsets>({}, params);
    }
    return {ReadOnly(params.out), static_cast<int>(all - 1)};
  }
};

}  // namespace rattn::cuda
