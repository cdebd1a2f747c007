// Pieces that the forward and the backward of chunkwise linear attention
// share, per instruction set (to be included like tile_ops-inl.h).
#include <algorithm>

#include "kernels/cpu/feature_map-inl.h"
#include "kernels/cpu/linear_scratch.h"
#include "kernels/problem.h"

#if defined(RATTN_KERNELS_CPU_LINEAR_BLOCKS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_LINEAR_BLOCKS_INL_H_
#undef RATTN_KERNELS_CPU_LINEAR_BLOCKS_INL_H_
#else
#define RATTN_KERNELS_CPU_LINEAR_BLOCKS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

inline constexpr float kEpsilon = static_cast<float>(kNormalizerEpsilon);

// phi of `count` rows of `view` from `first` -> out[count, F]; `row` is
// scratch of D floats.
inline void LoadFeatures(FeatureMap map, const TensorView& view, int64_t b,
                         int64_t first, int64_t count, int64_t h, float* row,
                         float* out, int64_t features) {
  const int64_t dim = view.shape[3];
  for (int64_t i = 0; i < count; ++i) {
    LoadRows(view, b, first + i, 1, h, 1.f, row, dim);
    FeatureRow(map, row, dim, out + i * features);
  }
}

// Zeros in scores[rows, columns] where the token comes after the query of row
// r, which stands at place `place + r`.
inline void MaskFuture(int64_t place, int64_t rows, int64_t columns,
                       float* scores, int64_t ld) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = place + r + 1; c < columns; c += lanes) {
      StoreFirst(hn::Zero(d), scores + r * ld + c,
                 std::min(lanes, columns - c));
    }
  }
}

// Everything that concerns tokens and states but not queries. A task is one
// KV head of one sequence. Streams are visited from the last to the first.
class TokenPass {
 public:
  TokenPass(const Problem& problem, const Buffers& buffers, TensorView key_sum,
            const MemoryPlan& plan)
      : plan_(plan),
        map_(problem.spec.memory.feature_map),
        k_(buffers.k_memory ? buffers.k_memory : buffers.k),
        v_(buffers.v),
        initial_state_(buffers.initial_state),
        key_sum_(key_sum) {}

 protected:
  int64_t batch(int64_t task) const { return task / plan_.kv_heads; }
  int64_t kv(int64_t task) const { return task % plan_.kv_heads; }
  bool start_known() const { return initial_state_ || key_sum_; }

  // phi(k) both ways and v, with a column of ones where there is a key sum.
  void LoadTokens(int64_t task, const MemoryChunk& chunk,
                  const TokenBlock& w) const {
    LoadFeatures(map_, k_, batch(task), chunk.token_begin, chunk.tokens,
                 kv(task), w.row, w.keys, plan_.features);
    Transpose(chunk.tokens, plan_.features, w.keys, plan_.features, w.keys_t,
              plan_.chunk_ld);
    LoadRows(v_, batch(task), chunk.token_begin, chunk.tokens, kv(task), 1.f,
             w.values, plan_.state_ld);
    if (plan_.columns == plan_.value_dim) return;
    for (int64_t i = 0; i < chunk.tokens; ++i) {
      w.values[i * plan_.state_ld + plan_.value_dim] = 1.f;
    }
  }

  // sum += phi(k)^T v of the loaded chunk.
  void Absorb(const MemoryChunk& chunk, const TokenBlock& w, float* sum) const {
    GemmNN(plan_.features, plan_.columns, chunk.tokens, w.keys_t,
           plan_.chunk_ld, w.values, plan_.state_ld, sum, plan_.state_ld, true);
  }

  // What the chunks [begin, end) add to the state.
  void SumChunks(int64_t task, int64_t begin, int64_t end, const TokenBlock& w,
                 float* sum) const {
    Clear(sum);
    for (int64_t c = begin; c < end; ++c) {
      const MemoryChunk chunk = ChunkAt(plan_, c);
      LoadTokens(task, chunk, w);
      Absorb(chunk, w, sum);
    }
  }

  void Clear(float* state) const {
    std::fill(state, state + plan_.state_size(), 0.f);
  }
  void Copy(const float* from, float* to) const {
    std::copy_n(from, plan_.state_size(), to);
  }
  void Add(const float* a, const float* b, float* out) const {
    MapRow(a, b, plan_.state_size(), out,
           [](TileV x, TileV y) { return hn::Add(x, y); });
  }
  // state += sum.
  void AddSum(const float* sum, float* state) const { Add(state, sum, state); }

  // fp32 views [B, Hs, F, Dv] and [B, Hkv, F, 1] -> [F, state_ld]; absent
  // ones are zero.
  void LoadState(const TensorView& state, const TensorView& key_sum,
                 int64_t task, int64_t stream, float* out) const {
    Clear(out);
    const int64_t head = plan_.state_head(kv(task), stream);
    for (int64_t f = 0; f < plan_.features; ++f) {
      float* row = out + f * plan_.state_ld;
      if (state) {
        LoadRow(state.Row<const float>(batch(task), head, f), state.stride[3],
                plan_.value_dim, 1.f, row);
      }
      if (key_sum) {
        row[plan_.value_dim] =
            *key_sum.Row<const float>(batch(task), kv(task), f);
      }
    }
  }
  void StoreState(const float* in, const TensorView& state,
                  const TensorView& key_sum, int64_t task,
                  int64_t stream) const {
    const int64_t head = plan_.state_head(kv(task), stream);
    for (int64_t f = 0; f < plan_.features; ++f) {
      const float* row = in + f * plan_.state_ld;
      if (state) {
        StoreRow(row, plan_.value_dim, state.Row<float>(batch(task), head, f),
                 state.stride[3], false);
      }
      // The streams share one key sum: all of them start from it before the
      // last one to be visited replaces it.
      if (key_sum && stream == 0) {
        *key_sum.Row<float>(batch(task), kv(task), f) = row[plan_.value_dim];
      }
    }
  }

  const MemoryPlan& plan_;
  const FeatureMap map_;
  const TensorView k_, v_, initial_state_, key_sum_;
};

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
