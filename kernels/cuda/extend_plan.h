// The launches of a call on a cache, in order. Both branches read the cache as
// it was, or, in decode, with the new token in place of the one that leaves.
#pragma once

#include <algorithm>

#include "kernels/cuda/branch_plan.h"
#include "kernels/cuda/cache_views.h"
#include "kernels/cuda/linear_step_kernel.h"
#include "kernels/cuda/softmax_decode_kernel.h"
#include "kernels/cuda/store_tokens_kernel.h"
#include "kernels/cuda/token_rows_kernel.h"

namespace rattn::cuda {

template <typename T, class Launcher>
class ExtendPlan : private BranchPlan<T, Launcher> {
 public:
  // Runs the launches of `problem` (CudaSupports) on device pointers.
  static void Run(const Problem& problem, const Buffers& buffers,
                  const CacheViews& cache, Arena* arena, Launcher* launcher) {
    Buffers on_cache = buffers;
    on_cache.initial_state = on_cache.final_state = cache.state;
    ExtendPlan plan(problem, on_cache, cache, arena, launcher);
    if (problem.shape.query_len == 1) {
      plan.Decode();
    } else {
      plan.Extend();
    }
  }

 private:
  using Base = BranchPlan<T, Launcher>;
  using Base::arena_, Base::b_, Base::launcher_, Base::p_;

  ExtendPlan(const Problem& problem, const Buffers& buffers,
             const CacheViews& cache, Arena* arena, Launcher* launcher)
      : Base(problem, buffers, arena, launcher),
        cache_(cache),
        delay_(MemoryDelay(problem.spec)),
        waiting_(WaitingTokens(problem, cache.length)),
        keys_(ViewOf<const T>(buffers.k)) {
    this->offset_ = cache.length;
    this->memory_tokens_ = waiting_ + problem.shape.query_len;
  }

  void Extend() {
    GlobalView<float> local, memory;
    if (HasLocal(p_.spec)) {
      this->WithDim([&](auto dim) { local = ExtendLocal<dim>(); });
    }
    if (HasMemory(p_.spec)) {
      if (cache_.pending > 0) RunStep({}, cache_.pending, {}, true);
      this->WithMemoryDims([&](auto features, auto dim) {
        memory = ExtendMemory<features, dim>();
      });
    }
    Store();
    this->RunCombine(local, memory);
  }

  void Decode() {
    GlobalView<float> local, memory;
    const bool takes = HasMemory(p_.spec) && waiting_ == delay_;
    const bool absorb = takes && cache_.pending + 1 >= cache_.absorb_every;
    const GlobalView<float> token =
        takes ? TakeToken(absorb) : GlobalView<float>();
    if (HasLocal(p_.spec)) {
      this->WithDim([&](auto dim) { keys_ = this->template LocalKeys<dim>(); });
    }
    Store();
    if (HasLocal(p_.spec)) {
      this->WithDim([&](auto dim) { local = DecodeLocal<dim>(); });
    }
    if (HasMemory(p_.spec)) memory = DecodeMemory(token, absorb);
    this->RunCombine(local, memory);
  }

  // ------------------------------------------------------- a piece of tokens

  template <int kDim>
  GlobalView<float> ExtendLocal() {
    keys_ = this->template LocalKeys<kDim>();
    const auto length = static_cast<int>(cache_.length);
    const CacheKeys<T> k = {RowsOf<const T>(cache_.k), keys_, length};
    const CacheKeys<T> v = {RowsOf<const T>(cache_.v),
                            this->template Values<kDim>(), length};
    return this->template Attend<kDim, KeySource::kCache>(k, v);
  }

  template <int kFeatures, int kDim>
  GlobalView<float> ExtendMemory() {
    KeepKeySum();
    if (delay_ == 0) {
      const auto keys =
          this->template Features<kFeatures, kDim>(this->MemoryKeys());
      return this->template ReadMemory<kFeatures, kDim>(
          keys, this->template MemoryValues<kDim>());
    }
    // Only what this call takes in: tokens that waited, then new ones.
    const Shape& s = p_.shape;
    const int64_t all = std::max<int64_t>(this->memory_tokens_ - delay_, 0);
    const int64_t old = std::min(waiting_, all);
    const auto phi = TakeView<T>({s.batch, all, s.kv_heads, kFeatures}, arena_);
    const auto v = TakeView<T>({s.batch, all, s.kv_heads, kDim}, arena_);
    LoadWaiting<kDim>(TokensOf(phi, 0, old), TokensOf(v, 0, old));
    const auto of_new = [&](const TensorView& view) {
      return TokensOf(ViewOf<const T>(view), 0, all - old);
    };
    this->template RunFeatures<kDim>(of_new(this->MemoryKeys()),
                                     TokensOf(phi, old, all - old));
    this->PrepareMemoryValues(of_new(b_.v), TokensOf(v, old, all - old));
    return this->template ReadMemory<kFeatures, kDim>(ReadOnly(phi),
                                                      ReadOnly(v));
  }

  // Features and values of the first tokens that wait; rotated keys are turned
  // back.
  template <int kDim>
  void LoadWaiting(const GlobalView<T>& phi, const GlobalView<T>& v) {
    const Shape& s = p_.shape;
    const int64_t first = cache_.length - waiting_, count = phi.shape[1];
    const auto k =
        TakeView<T>({s.batch, count, s.kv_heads, s.head_dim}, arena_);
    ForEachRun(WaitingKeys(), first, count,
               [&](const TensorView& run, int64_t at, int64_t tokens) {
                 this->Prepare(ViewOf<const T>(run), TokensOf(k, at, tokens),
                               KeysAreRotated() ? -1 : 0, first + at,
                               kUnboundedWindow);
               });
    ForEachRun(cache_.v, first, count,
               [&](const TensorView& run, int64_t at, int64_t tokens) {
                 this->PrepareMemoryValues(ViewOf<const T>(run),
                                           TokensOf(v, at, tokens));
               });
    this->template RunFeatures<kDim>(ReadOnly(k), phi);
  }

  // The sums of keys are read by all heads of a group and written by one: what
  // is read lies elsewhere.
  void KeepKeySum() {
    if (p_.spec.memory.normalizer != Normalizer::kSum) return;
    const Shape& s = p_.shape;
    const int64_t features = FeatureDim(p_);
    const auto kept =
        TakeView<float>({s.batch, 1, s.kv_heads, features}, arena_);
    const auto rows = [&](GlobalView<float> view) {
      view.shape[1] = 1;
      view.shape[2] = s.kv_heads;
      view.shape[3] = features;
      view.stride[2] = features;
      view.stride[3] = 1;
      return view;
    };
    this->key_sum_ = ViewOf<float>(cache_.key_sum);
    typename PrepareRows<float>::Params params;
    params.in = ReadOnly(rows(this->key_sum_));
    params.out = kept;
    launcher_->template Run<PrepareRows<float>>(
        {.grid = {CeilDiv(features / 2, PrepareRows<float>::kThreads), 1, 1}},
        params);
    this->old_key_sum_ = ReadOnly(this->key_sum_);
    this->old_key_sum_.data = kept.data;
  }

  // -------------------------------------------------------------- one token

  template <int kDim>
  GlobalView<float> DecodeLocal() {
    using Kernel = SoftmaxDecode<T, kDim>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    this->template FillLocal<kDim>(&params);
    const auto length = static_cast<int>(cache_.length) + 1;
    params.k = {RowsOf<const T>(cache_.k), {}, length};
    params.v = {RowsOf<const T>(cache_.v), {}, length};
    const KeyTiles tiles(p_.spec.local, {length - 1, length}, Kernel::kKeys);
    const int row_tiles = CeilDiv(params.group, Kernel::kRows);
    const int most = MostParts(s.batch * s.kv_heads * row_tiles, tiles.count);
    params.part_tiles = CeilDiv(tiles.count, most);
    params.sums = TakeView<float>({s.batch, most, s.query_heads, kDim}, arena_);
    params.rows = TakeView<float>({s.batch, most, s.query_heads, 2}, arena_);
    const int parts = CeilDiv(tiles.count, params.part_tiles);
    params.sums.shape[1] = params.rows.shape[1] = parts;
    launcher_->template Run<Kernel>(
        this->OfHeads(parts * row_tiles, s.kv_heads, Kernel::kSharedBytes),
        params);
    return JoinParts(ReadOnly(params.sums), ReadOnly(params.rows));
  }

  // Parts that the tiles of a head are divided into: as many blocks as keep a
  // large GPU busy, if each has some tiles to overlap its copies with. More
  // tiles never make fewer, which workspace is counted on.
  static int MostParts(int64_t heads, int64_t tiles) {
    constexpr int kBlocks = 264;  // two on each multiprocessor of an H100
    constexpr int64_t kTiles = 2;
    const int64_t most =
        std::min<int64_t>(CeilDiv(kBlocks, heads), tiles / kTiles);
    return static_cast<int>(std::max<int64_t>(most, 1));
  }

  GlobalView<float> JoinParts(const GlobalView<const float>& sums,
                              const GlobalView<const float>& rows) {
    using Kernel = SoftmaxJoin<T>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.sums = sums;
    params.rows = rows;
    params.heads = LocalHeads(p_.spec, s.query_heads);
    params.value_dim = static_cast<int>(s.value_dim);
    this->FillOutput(b_.o_local, &params);
    this->FillRowOutputs(&params);
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(s.batch * s.query_heads, Kernel::kWarps), 1, 1}},
        params);
    return params.o_wide;
  }

  // The token that the memory takes in: in workspace if the state absorbs it
  // at once, else behind those that wait.
  GlobalView<float> TakeToken(bool absorb) {
    const Shape& s = p_.shape;
    const auto row =
        TakeView<float>({s.batch, s.kv_heads, 1, PendingDim(p_)}, arena_);
    GlobalView<float> out = row;
    if (!absorb) out = Pending(cache_.pending, 1);
    Base::WithPadded(s.head_dim, [&](auto dim) { RunTokenRows<dim>(out); });
    return out;
  }
  template <int kDim>
  void RunTokenRows(const GlobalView<float>& rows) {
    using Kernel = TokenRows<T, kDim>;
    typename Kernel::Params params;
    params.k = ViewOf<const T>(this->MemoryKeys());
    params.v = ViewOf<const T>(b_.v);
    if (delay_ > 0) {
      const int64_t token = cache_.length - delay_;
      const auto read = [&](const CacheTensor& rows_of,
                            GlobalView<const T>* to) {
        ForEachRun(rows_of, token, 1,
                   [&](const TensorView& run, int64_t, int64_t) {
                     *to = ViewOf<const T>(run);
                   });
      };
      read(WaitingKeys(), &params.k);
      read(cache_.v, &params.v);
      params.rotated = KeysAreRotated();
      params.interleaved = p_.positions.layout == RopeLayout::kInterleaved;
      params.position = token;
      if (params.rotated) this->FillFrequencies(params.frequency);
    }
    params.rows = rows;
    params.key_sum = ViewOf<float>(cache_.key_sum);
    params.map = p_.spec.memory.feature_map;
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(p_.shape.batch * p_.shape.kv_heads, Kernel::kWarps),
                  1, 1}},
        params);
  }

  GlobalView<float> DecodeMemory(const GlobalView<float>& token, bool absorb) {
    const Shape& s = p_.shape;
    const auto q =
        TakeView<float>({s.batch, 1, s.query_heads, FeatureDim(p_)}, arena_);
    Base::WithPadded(s.head_dim, [&](auto dim) {
      this->template RunFeatures<dim>(ViewOf<const T>(this->MemoryQueries()),
                                      q);
    });
    return RunStep(ReadOnly(q), cache_.pending, ReadOnly(token), absorb);
  }

  // Without q the state only absorbs.
  GlobalView<float> RunStep(const GlobalView<const float>& q, int64_t pending,
                            const GlobalView<const float>& token, bool absorb) {
    using Kernel = LinearStep<T>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.q = q;
    params.state = ViewOf<float>(cache_.state);
    params.pending = ReadOnly(Pending(0, pending));
    params.token = token;
    params.key_sum = ViewOf<const float>(cache_.key_sum);
    params.absorb = absorb;
    params.row_group = static_cast<int>(s.query_heads / StateHeads(p_));
    params.kv_group = static_cast<int>(GroupSize(s));
    params.value_dim = static_cast<int>(s.value_dim);
    params.scale = static_cast<float>(p_.memory_scale);
    // By its shape: while workspace is counted nothing has data.
    if (q.shape[3] > 0) {
      params.heads = MemoryHeads(p_.spec, s.query_heads);
      this->FillOutput(b_.o_memory, &params);
    }
    launcher_->template Run<Kernel>(
        this->OfHeads(CeilDiv(s.value_dim, kWarpSize), StateHeads(p_),
                      Kernel::kSharedBytes),
        params);
    return params.o_wide;
  }

  // Rows of tokens that wait.
  GlobalView<float> Pending(int64_t first, int64_t count) const {
    auto rows = ViewOf<float>(cache_.pending_rows);
    if (rows) rows.data += first * rows.stride[2];
    rows.shape[2] = count;
    return rows;
  }

  // ---------------------------------------------------------------- the cache

  const CacheTensor& WaitingKeys() const {
    return cache_.k_memory.ring ? cache_.k_memory : cache_.k;
  }
  bool KeysAreRotated() const {
    return HasLocal(p_.spec) && p_.positions.rope && !cache_.k_memory.ring;
  }

  // The new tokens into their slots; of those that share one, only the last.
  void Store() {
    if (!HasLocal(p_.spec) && delay_ == 0) return;
    using Kernel = StoreTokens<T>;
    const Shape& s = p_.shape;
    typename Kernel::Params params;
    params.rows[0] = {keys_, RowsOf<T>(cache_.k), s.head_dim};
    params.rows[1] = {ViewOf<const T>(b_.v), RowsOf<T>(cache_.v), s.value_dim};
    if (cache_.k_memory.ring) {
      params.rows[2] = {ViewOf<const T>(this->MemoryKeys()),
                        RowsOf<T>(cache_.k_memory), s.head_dim};
    }
    params.first = cache_.length;
    if (cache_.k.ring) {
      params.oldest = cache_.length + s.query_len - cache_.k.ring.shape[1];
    }
    const int64_t pairs = s.query_len * std::max(s.head_dim, s.value_dim) / 2;
    launcher_->template Run<Kernel>(
        {.grid = {CeilDiv(pairs, Kernel::kThreads), Kernel::kTensors, 1}},
        params);
  }

  const CacheViews& cache_;
  const int64_t delay_;
  const int64_t waiting_;     // tokens that the memory has yet to take in
  GlobalView<const T> keys_;  // of the new tokens, as the cache keeps them
};

}  // namespace rattn::cuda
