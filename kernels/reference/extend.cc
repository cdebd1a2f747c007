// The recurrent form: a ring of keys and one state, token by token.
#include "kernels/reference/group.h"
#include "kernels/reference/phases.h"

namespace rattn::reference {
namespace {

struct Slices {
  Slices(const Problem& p, Scratch* s)
      : row(p, s),
        scales(p, s),
        k(s->Take(p.shape.head_dim)),
        k_memory(s->Take(p.shape.head_dim)),
        v(s->Take(p.shape.value_dim)),
        phi(s->Take(FeatureDim(p))),
        state_row(s->Take(p.shape.value_dim)) {}
  Row row;
  NormScales scales;
  double *k, *k_memory, *v, *phi, *state_row;
};

// One sequence and KV head of a call on a cache.
class Stream {
 public:
  Stream(const Problem& problem, const Buffers& buffers, const KvCache& cache,
         int64_t b, int64_t h, Scratch scratch)
      : problem_(problem),
        shape_(problem.shape),
        buffers_(buffers),
        cache_(cache),
        b_(b),
        h_(h),
        m_(problem, &scratch) {}

  // Token t of the call, which stands at `position` in the sequence.
  void Step(int64_t t, int64_t position) {
    const int64_t leaving = position - MemoryDelay(problem_.spec);
    const bool delayed = MemoryDelay(problem_.spec) > 0;
    // The slot that this token takes holds the one that now leaves the window.
    if (HasMemory(problem_.spec) && delayed && leaving >= 0) {
      LoadLeaving(leaving);
      AbsorbToken();
    }
    if (cache_.has_keys()) WriteToken(t, position);
    if (HasMemory(problem_.spec) && !delayed) {
      LoadRow(MemoryKeys(), b_, t, h_, m_.k_memory);
      LoadRow(buffers_.v, b_, t, h_, m_.v);
      AbsorbToken();
    }
    const int64_t heads = GroupSize(shape_);
    for (int64_t g = 0; g < heads; ++g) Read(t, h_ * heads + g, position);
  }

 private:
  const TensorView& MemoryKeys() const {
    return buffers_.k_memory ? buffers_.k_memory : buffers_.k;
  }

  void LoadLeaving(int64_t token) {
    const int64_t d = shape_.head_dim;
    LoadRow(cache_.Value(b_, h_, token), problem_.dtype, shape_.value_dim,
            m_.v);
    if (cache_.separate_memory_keys()) {
      LoadRow(cache_.MemoryKey(b_, h_, token), problem_.dtype, d, m_.k_memory);
      return;
    }
    LoadRow(cache_.Key(b_, h_, token), problem_.dtype, d, m_.k_memory);
    if (HasLocal(problem_.spec)) {
      Rotate(problem_.positions, -token, d, m_.k_memory);
    }
  }

  void WriteToken(int64_t t, int64_t position) {
    const int64_t d = shape_.head_dim;
    LoadRow(buffers_.k, b_, t, h_, m_.k);
    if (HasLocal(problem_.spec)) Rotate(problem_.positions, position, d, m_.k);
    StoreRow(cache_.Key(b_, h_, position), problem_.dtype, d, m_.k);
    LoadRow(buffers_.v, b_, t, h_, m_.v);
    StoreRow(cache_.Value(b_, h_, position), problem_.dtype, shape_.value_dim,
             m_.v);
    if (cache_.separate_memory_keys()) {
      LoadRow(MemoryKeys(), b_, t, h_, m_.k_memory);
      StoreRow(cache_.MemoryKey(b_, h_, position), problem_.dtype, d,
               m_.k_memory);
    }
  }

  // State += phi(k_memory)^T v, and the key sum where one is kept.
  void AbsorbToken() {
    const int64_t features = FeatureDim(problem_);
    const TensorView state = cache_.state(), key_sum = cache_.key_sum();
    Features(problem_.spec.memory.feature_map, m_.k_memory, shape_.head_dim,
             m_.phi);
    const int64_t copies =
        problem_.state_per_query_head ? GroupSize(shape_) : 1;
    for (int64_t hs = h_ * copies; hs < (h_ + 1) * copies; ++hs) {
      for (int64_t f = 0; f < features; ++f) {
        LoadRow(state, b_, hs, f, m_.state_row);
        AddScaled(m_.phi[f], m_.v, shape_.value_dim, m_.state_row);
        StoreRow(state, b_, hs, f, m_.state_row);
      }
    }
    for (int64_t f = 0; key_sum && f < features; ++f) {
      key_sum.Set(b_, h_, f, 0, key_sum.Get(b_, h_, f, 0) + m_.phi[f]);
    }
  }

  void Read(int64_t t, int64_t hq, int64_t position) {
    m_.row.Load(problem_, buffers_, b_, t, hq, position);
    m_.scales.Load(buffers_, hq);
    Fill(0, shape_.value_dim, m_.row.o_local);
    Fill(0, shape_.value_dim, m_.row.o_memory);
    RowSoftmax softmax;
    if (Contains(LocalHeads(problem_.spec, shape_.query_heads), hq)) {
      softmax = ReadLocal(hq, position);
    }
    if (Contains(MemoryHeads(problem_.spec, shape_.query_heads), hq)) {
      ReadMemory(problem_.state_per_query_head ? hq : h_);
    }
    CombineBranches(problem_, m_.scales, hq, &m_.row);
    StoreRowOutputs(buffers_, b_, t, hq, m_.row, softmax);
  }

  RowSoftmax ReadLocal(int64_t hq, int64_t position) {
    const auto key = [&](int64_t j) {
      LoadRow(cache_.Key(b_, h_, j), problem_.dtype, shape_.head_dim, m_.k);
      return m_.k;
    };
    const auto value = [&](int64_t j) {
      LoadRow(cache_.Value(b_, h_, j), problem_.dtype, shape_.value_dim, m_.v);
      return m_.v;
    };
    return LocalForward(problem_, m_.row.local_query(), position,
                        SinkLogit(buffers_, hq), key, value, m_.row.o_local);
  }

  void ReadMemory(int64_t hs) {
    const TensorView state = cache_.state(), key_sum = cache_.key_sum();
    const int64_t n = shape_.value_dim;
    double sum = 0;
    for (int64_t f = 0; f < FeatureDim(problem_); ++f) {
      const double weight = problem_.memory_scale * m_.row.phi[f];
      LoadRow(state, b_, hs, f, m_.state_row);
      AddScaled(weight, m_.state_row, n, m_.row.o_memory);
      if (key_sum) sum += weight * key_sum.Get(b_, h_, f, 0);
    }
    Normalize(problem_.spec.memory, sum, n, m_.row.o_memory);
  }

  const Problem& problem_;
  const Shape& shape_;
  const Buffers& buffers_;
  const KvCache& cache_;
  int64_t b_, h_;
  Slices m_;
};

}  // namespace

size_t ExtendScratch(const Problem& problem) {
  Scratch count(nullptr);
  Slices slices(problem, &count);
  return count.bytes();
}

void ExtendGroup(const Problem& problem, const Buffers& buffers,
                 const KvCache& cache, int64_t b, int64_t h, Scratch scratch) {
  Stream stream(problem, buffers, cache, b, h, scratch);
  for (int64_t t = 0; t < problem.shape.query_len; ++t) {
    stream.Step(t, cache.length() + t);
  }
}

}  // namespace rattn::reference
