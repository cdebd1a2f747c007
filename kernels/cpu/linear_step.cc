// MemoryStep: the state is read, updated and applied to all query heads of a
// group in one pass over its memory, which is what a decode step costs.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_step.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/branch.h"
#include "kernels/cpu/linear_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// State rows that share one load and store of the outputs. FeatureDim is a
// multiple of it.
inline constexpr int64_t kStateRows = 4;

// Vector at v[0..count) of kStateRows state rows: state += k v^T (kAbsorb) and
// read[h] += phi_q[h] state for `heads` heads.
template <bool kAbsorb, typename Load, typename Store>
HWY_INLINE void StepVector(const StepWorker& w, int64_t features,
                           int64_t value_dim, int64_t f, int64_t i,
                           int64_t heads, float* state, int64_t ld,
                           const Load& load, const Store& store) {
  const TileD d;
  TileV s[kStateRows];
#pragma GCC unroll 4
  for (int64_t r = 0; r < kStateRows; ++r) {
    s[r] = load(state + r * ld + i);
    if (kAbsorb) {
      s[r] = hn::MulAdd(hn::Set(d, w.keys[f + r]), load(w.values + i), s[r]);
      store(s[r], state + r * ld + i);
    }
  }
  for (int64_t h = 0; h < heads; ++h) {
    const float* q = w.queries + h * features + f;
    float* read = w.read + h * value_dim + i;
    TileV sum = load(read);
#pragma GCC unroll 4
    for (int64_t r = 0; r < kStateRows; ++r) {
      sum = hn::MulAdd(hn::Set(d, q[r]), s[r], sum);
    }
    store(sum, read);
  }
}

template <bool kAbsorb>
void StepState(const StepWorker& w, int64_t features, int64_t value_dim,
               int64_t heads, float* state, int64_t ld) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const auto load = [d](const float* p) { return hn::LoadU(d, p); };
  const auto store = [d](TileV v, float* p) { hn::StoreU(v, d, p); };
  const size_t rest = value_dim % lanes;
  const auto load_rest = [rest](const float* p) { return LoadFirst(p, rest); };
  const auto store_rest = [rest](TileV v, float* p) { StoreFirst(v, p, rest); };
  for (int64_t f = 0; f < features; f += kStateRows) {
    float* rows = state + f * ld;
    int64_t i = 0;
    for (; i + lanes <= value_dim; i += lanes) {
      StepVector<kAbsorb>(w, features, value_dim, f, i, heads, rows, ld, load,
                          store);
    }
    if (rest > 0) {
      StepVector<kAbsorb>(w, features, value_dim, f, i, heads, rows, ld,
                          load_rest, store_rest);
    }
  }
}

class StepPass {
 public:
  StepPass(const Problem& problem, const Buffers& buffers, TensorView k,
           TensorView v, const MemoryState& state, TensorView out,
           const MemoryPlan& plan, const StepScratch& scratch)
      : plan_(plan),
        scratch_(scratch),
        map_(problem.spec.memory.feature_map),
        scale_(static_cast<float>(problem.memory_scale)),
        q_(buffers.q_memory ? buffers.q_memory : buffers.q),
        k_(k),
        v_(v),
        state_(state),
        out_(out) {}

  void Run(int threads) const {
    ParallelFor(threads, plan_.heads_of_kv(), [this](int64_t task, int worker) {
      RunHead(task / plan_.kv_heads, task % plan_.kv_heads,
              scratch_.worker(worker));
    });
  }

 private:
  void RunHead(int64_t b, int64_t kv, const StepWorker& w) const {
    if (k_) {
      LoadFeatures(map_, k_, b, 0, 1, kv, w.row, w.keys, plan_.features);
      LoadRows(v_, b, 0, 1, kv, 1.f, w.values, plan_.value_dim);
    }
    if (normalized()) UpdateKeySum(b, kv, w);
    for (int64_t stream = 0; stream < plan_.streams; ++stream) {
      RunStream(b, kv, stream, w);
    }
  }

  void UpdateKeySum(int64_t b, int64_t kv, const StepWorker& w) const {
    for (int64_t f = 0; f < plan_.features; ++f) {
      const float added = k_ ? w.keys[f] : 0.f;
      w.key_sum[f] = added;
      if (!state_.key_sum) continue;
      float* kept = state_.key_sum.Row<float>(b, kv, f);
      w.key_sum[f] = *kept + added;
      *kept = w.key_sum[f];
    }
  }

  void RunStream(int64_t b, int64_t kv, int64_t stream,
                 const StepWorker& w) const {
    const HeadRange heads = plan_.readers(kv, stream);
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      LoadFeatures(map_, q_, b, 0, 1, h, w.row,
                   w.queries + (h - heads.begin) * plan_.features,
                   plan_.features);
    }
    std::fill(w.read, w.read + heads.size() * plan_.value_dim, 0.f);
    float* state = w.state;
    int64_t ld = plan_.state_ld;
    if (state_.state) {
      state = state_.state.Row<float>(b, plan_.state_head(kv, stream), 0);
      ld = state_.state.stride[2];
    } else {
      std::fill(state, state + plan_.state_size(), 0.f);
    }
    const auto step = k_ ? StepState<true> : StepState<false>;
    step(w, plan_.features, plan_.value_dim, heads.size(), state, ld);
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      Store(b, h, h - heads.begin, w);
    }
  }

  void Store(int64_t b, int64_t h, int64_t i, const StepWorker& w) const {
    float* read = w.read + i * plan_.value_dim;
    float by = 1.f;
    if (normalized()) {
      by = scale_ *
               Dot(w.queries + i * plan_.features, w.key_sum, plan_.features) +
           kEpsilon;
    }
    ScaleRow(scale_ / by, read, plan_.value_dim, read, false);
    StoreRows(read, 0, out_, b, 0, 1, h, false);
  }

  bool normalized() const { return plan_.columns > plan_.value_dim; }

  const MemoryPlan& plan_;
  const StepScratch& scratch_;
  const FeatureMap map_;
  const float scale_;
  const TensorView q_, k_, v_;
  const MemoryState& state_;
  const TensorView out_;
};

void RunStep(const Problem& problem, const Buffers& buffers, TensorView k,
             TensorView v, const MemoryState& state, TensorView out,
             const MemoryPlan& plan, const StepScratch& scratch) {
  StepPass(problem, buffers, k, v, state, out, plan, scratch)
      .Run(problem.threads);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {

HWY_EXPORT(RunStep);

void MemoryStep(const Problem& problem, const Buffers& buffers, TensorView k,
                TensorView v, const MemoryState& state, TensorView out,
                Workspace workspace) {
  const MemoryPlan plan = MakeMemoryPlan(problem);
  Arena arena(workspace.data);
  const StepScratch scratch(plan, &arena);
  HWY_DYNAMIC_DISPATCH(RunStep)
  (problem, buffers, k, v, state, out, plan, scratch);
}

namespace {

size_t BytesOnThreads(const Problem& problem) {
  const MemoryPlan plan = MakeMemoryPlan(problem);
  Arena forward(nullptr), backward(nullptr), step(nullptr);
  StepScratch(plan, &step);
  if (UsesBf16Linear(problem)) {
    return std::max(Bf16LinearBytes(problem), step.used());
  }
  ForwardScratch(plan, &forward);
  if (problem.phase == Phase::kTrain) BackwardScratch(plan, &backward);
  return std::max({forward.used(), backward.used(), step.used()});
}

}  // namespace

// Fewer threads may need more, where they share out segments.
size_t MemoryScratchBytes(const Problem& problem) {
  Problem fewer = problem;
  size_t most = 0;
  for (fewer.threads = 1; fewer.threads <= problem.threads; ++fewer.threads) {
    most = std::max(most, BytesOnThreads(fewer));
  }
  return most;
}

}  // namespace rattn
#endif  // HWY_ONCE
