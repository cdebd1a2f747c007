// RunMemoryStep: the state is read, updated and applied to all query heads of a
// group in one pass over its memory, which is what a decode step costs.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_step.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/branch.h"
#include "kernels/cpu/decode_rows-inl.h"
#include "kernels/cpu/linear_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// State rows that share the loads of what they absorb. FeatureDim is a multiple
// of it.
inline constexpr int64_t kStateRows = 4;

// Tokens that wait beside the state of one KV head: rows of phi(k), then v.
struct Pending {
  const float* rows = nullptr;
  int64_t count = 0;
  int64_t ld = 0;
};

// Vector at `i` of kStateRows state rows from feature f on: state += k v^T of
// the tokens that wait and of the new one.
template <typename Load, typename Store>
HWY_INLINE void AbsorbVector(const StepWorker& w, const Pending& pending,
                             int64_t features, int64_t f, int64_t i,
                             float* state, int64_t ld, const Load& load,
                             const Store& store) {
  const TileD d;
  TileV s[kStateRows];
#pragma GCC unroll 4
  for (int64_t r = 0; r < kStateRows; ++r) s[r] = load(state + r * ld + i);
  for (int64_t t = 0; t < pending.count; ++t) {
    const float* row = pending.rows + t * pending.ld;
    const TileV value = load(row + features + i);
#pragma GCC unroll 4
    for (int64_t r = 0; r < kStateRows; ++r) {
      s[r] = hn::MulAdd(hn::Set(d, row[f + r]), value, s[r]);
    }
  }
  const TileV value = load(w.values + i);
#pragma GCC unroll 4
  for (int64_t r = 0; r < kStateRows; ++r) {
    s[r] = hn::MulAdd(hn::Set(d, w.keys[f + r]), value, s[r]);
    store(s[r], state + r * ld + i);
  }
}

inline void AbsorbRows(const StepWorker& w, const Pending& pending,
                       int64_t features, int64_t value_dim, int64_t f,
                       float* state, int64_t ld) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= value_dim; i += lanes) {
    AbsorbVector(
        w, pending, features, f, i, state, ld,
        [d](const float* p) HWY_ATTR { return hn::LoadU(d, p); },
        [d](TileV v, float* p) HWY_ATTR { hn::StoreU(v, d, p); });
  }
  if (i == value_dim) return;
  const size_t rest = value_dim - i;
  AbsorbVector(
      w, pending, features, f, i, state, ld,
      [rest](const float* p) HWY_ATTR { return LoadFirst(p, rest); },
      [rest](TileV v, float* p) HWY_ATTR { StoreFirst(v, p, rest); });
}

// Rows of a state that stay in the L1 cache between their update and the heads
// that read them, while the next ones are fetched.
inline constexpr int64_t kBlockRows = 32;
inline constexpr float kOnes[] = {1, 1, 1, 1};

// The state takes in what waits and the new token (`absorb`), then read[h] +=
// phi_q[h] state for `heads` heads.
inline void StepState(const StepWorker& w, const Pending& pending, bool absorb,
                      int64_t features, int64_t value_dim, int64_t heads,
                      float* state, int64_t ld) {
  const int64_t width = StepWorker::ReadWidth(value_dim);
  const int64_t row_bytes = ld * int64_t{sizeof(float)};
  for (int64_t f = 0; f < features; f += kBlockRows) {
    const int64_t count = std::min(kBlockRows, features - f);
    float* rows = state + f * ld;
    for (int64_t r = 0; absorb && r < count; r += kStateRows) {
      AbsorbRows(w, pending, features, value_dim, f + r, rows + r * ld, ld);
    }
    const Ahead ahead = {rows + count * ld,
                         std::min(kBlockRows, features - f - count), row_bytes,
                         row_bytes};
    ForQueryBlocks(heads, [&](auto queries, int64_t h) HWY_ATTR {
      AddRows<queries>(rows, count, value_dim, ld, w.queries + h * features + f,
                       features, kOnes, w.read + h * width, width,
                       h == 0 ? ahead : Ahead{});
    });
  }
}

// read[h] += sum_t <phi_q[h], phi_k[t]> v[t] over tokens that wait.
inline void ReadPending(const StepWorker& w, const Pending& pending,
                        int64_t features, int64_t value_dim, int64_t heads) {
  for (int64_t t = 0; t < pending.count; ++t) {
    const float* row = pending.rows + t * pending.ld;
    for (int64_t h = 0; h < heads; ++h) {
      const float weight = Dot(w.queries + h * features, row, features);
      ScaleRow(weight, row + features, value_dim,
               w.read + h * StepWorker::ReadWidth(value_dim), true);
    }
  }
}

class StepPass {
 public:
  StepPass(const MemoryStepJob& job, const MemoryPlan& plan)
      : plan_(plan),
        map_(job.problem.spec.memory.feature_map),
        scale_(static_cast<float>(job.problem.memory_scale)),
        q_(job.buffers.q_memory ? job.buffers.q_memory : job.buffers.q),
        k_(job.k),
        v_(job.v),
        state_(job.state),
        out_(job.out) {}

  void RunHead(int64_t b, int64_t kv, const StepWorker& w) const {
    if (k_) {
      LoadFeatures(map_, k_, b, 0, 1, kv, w.row, w.keys, plan_.features);
      LoadRows(v_, b, 0, 1, kv, 1.f, w.values, plan_.value_dim);
    }
    if (normalized()) UpdateKeySum(b, kv, w);
    const Pending pending = TakePending(b, kv, w);
    for (int64_t stream = 0; stream < plan_.streams; ++stream) {
      RunStream(b, kv, stream, pending, w);
    }
  }

  // The new token joins those that wait, unless the state takes in all.
  Pending TakePending(int64_t b, int64_t kv, const StepWorker& w) const {
    if (!state_.pending) return {};
    Pending pending = {state_.pending.Row<const float>(b, kv, 0),
                       state_.waiting, state_.pending.stride[2]};
    if (!k_ || state_.absorb) return pending;
    float* row = state_.pending.Row<float>(b, kv, pending.count++);
    std::copy_n(w.keys, plan_.features, row);
    std::copy_n(w.values, plan_.value_dim, row + plan_.features);
    return pending;
  }

 private:
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

  void RunStream(int64_t b, int64_t kv, int64_t stream, const Pending& pending,
                 const StepWorker& w) const {
    const HeadRange heads = plan_.readers(kv, stream);
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      LoadFeatures(map_, q_, b, 0, 1, h, w.row,
                   w.queries + (h - heads.begin) * plan_.features,
                   plan_.features);
    }
    std::fill_n(w.read, heads.size() * StepWorker::ReadWidth(plan_.value_dim),
                0.f);
    float* state = w.state;
    int64_t ld = plan_.state_ld;
    if (state_.state) {
      state = state_.state.Row<float>(b, plan_.state_head(kv, stream), 0);
      ld = state_.state.stride[2];
    } else {
      std::fill(state, state + plan_.state_size(), 0.f);
    }
    const bool absorb = k_ && state_.absorb;
    StepState(w, pending, absorb, plan_.features, plan_.value_dim, heads.size(),
              state, ld);
    if (!absorb) {
      ReadPending(w, pending, plan_.features, plan_.value_dim, heads.size());
    }
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      Store(b, h, h - heads.begin, w);
    }
  }

  void Store(int64_t b, int64_t h, int64_t i, const StepWorker& w) const {
    float* read = w.read + i * StepWorker::ReadWidth(plan_.value_dim);
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
  const FeatureMap map_;
  const float scale_;
  const TensorView q_, k_, v_;
  const MemoryState& state_;
  const TensorView out_;
};

void RunTask(const MemoryStepJob& job, int64_t task, int thread) {
  const MemoryPlan plan = MakeMemoryPlan(job.problem);
  Arena arena(job.workspace.data);
  const StepScratch scratch(plan, &arena);
  // With a worker for every task, threads may have higher numbers.
  const int64_t worker = plan.workers < job.tasks() ? thread : task;
  StepPass(job, plan).RunHead(task / plan.kv_heads, task % plan.kv_heads,
                              scratch.worker(static_cast<int>(worker)));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {

HWY_EXPORT(RunTask);

void RunMemoryStep(const MemoryStepJob& job, int64_t task, int thread) {
  HWY_DYNAMIC_DISPATCH(RunTask)(job, task, thread);
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
