#include "models/torch/qk.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "models/torch/plain_qk.h"
#include "models/torch/rows.h"

namespace rattn {
namespace {

// cos and sin of the rotation angles, [T, D/2], computed in fp64.
template <typename S>
struct Rotation {
  Rotation(const Positions& positions, int64_t first, int64_t length,
           int64_t dim)
      : half(dim / 2),
        interleaved(positions.layout == RopeLayout::kInterleaved) {
    cosine.resize(length * half);
    sine.resize(length * half);
    for (int64_t i = 0; i < half; ++i) {
      const double frequency = ScaledFrequency(
          positions.scaling,
          std::pow(positions.theta,
                   -2.0 * static_cast<double>(i) / static_cast<double>(dim)));
      for (int64_t t = 0; t < length; ++t) {
        const double angle = static_cast<double>(first + t) * frequency;
        cosine[t * half + i] = static_cast<S>(std::cos(angle));
        sine[t * half + i] = static_cast<S>(std::sin(angle));
      }
    }
  }
  // Rotates x in place; sign -1 undoes it.
  void Apply(int64_t t, S sign, S* x) const {
    const int64_t step = interleaved ? 2 : 1, to = interleaved ? 1 : half;
    for (int64_t i = 0; i < half; ++i) {
      const S c = cosine[t * half + i], s = sign * sine[t * half + i];
      S* pair = x + i * step;
      const S a = pair[0], b = pair[to];
      pair[0] = a * c - b * s;
      pair[to] = a * s + b * c;
    }
  }

  int64_t half;
  bool interleaved;
  std::vector<S> cosine, sine;
};

// The weights of q heads or k heads; nullptr stands for ones.
template <typename S>
struct HeadWeights {
  const S* norm = nullptr;
  const S* scale = nullptr;
};

template <typename S>
HeadWeights<S> WeightsOf(const QkWeights& weights, bool is_query) {
  const at::Tensor& norm = is_query ? weights.norm_q : weights.norm_k;
  const at::Tensor& scale =
      is_query ? weights.memory_q_scale : weights.memory_k_scale;
  return {norm.defined() ? norm.const_data_ptr<S>() : nullptr,
          scale.defined() ? scale.const_data_ptr<S>() : nullptr};
}

template <typename S>
S InverseRms(const S* x, int64_t dim, double eps) {
  S sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < dim; ++c) sum += x[c] * x[c];
  return 1 / std::sqrt(sum / static_cast<S>(dim) + static_cast<S>(eps));
}

// T is the element type, S that of weights and sums.
template <typename T>
class Preparer {
  using S = SumType<T>;

 public:
  Preparer(const QkPlan& plan, const at::Tensor& qkv, const QkWeights& weights,
           int64_t first_position)
      : plan_(plan),
        in_(qkv.const_data_ptr<T>()),
        rows_(qkv.size(0) * qkv.size(1)),
        length_(qkv.size(1)),
        heads_(plan.query_heads + plan.kv_heads),
        in_heads_(qkv.size(2)),
        dim_(qkv.size(3)),
        weights_{WeightsOf<S>(weights, false), WeightsOf<S>(weights, true)},
        rotation_(plan.positions, first_position, Rotates(plan) ? length_ : 0,
                  dim_) {}

  // Either output may be nullptr.
  void Forward(T* local, T* memory) const {
    ForRowBlocks(rows_, [&](int64_t, int64_t first, int64_t last) {
      std::vector<S> x(dim_), y(dim_);
      for (int64_t r = first; r < last; ++r) {
        for (int64_t h = 0; h < heads_; ++h) {
          const int64_t to = (r * heads_ + h) * dim_;
          Row(r, h, x.data(), y.data(), local ? local + to : nullptr,
              memory ? memory + to : nullptr);
        }
      }
    });
  }

  // Gradients of the outputs to those of the input heads; either of the former
  // may be nullptr. `d_weights` [4, D]: k norm, q norm, k scale, q scale.
  void Backward(const T* d_local, const T* d_memory, T* d_in,
                S* d_weights) const {
    BlockSums<S> sums(rows_, 4 * dim_);
    ForRowBlocks(rows_, [&](int64_t block, int64_t first, int64_t last) {
      std::vector<S> scratch(4 * dim_);
      for (int64_t r = first; r < last; ++r) {
        for (int64_t h = 0; h < heads_; ++h) {
          const int64_t from = (r * heads_ + h) * dim_;
          RowBackward(r, h, d_local ? d_local + from : nullptr,
                      d_memory ? d_memory + from : nullptr, scratch.data(),
                      d_in + (r * in_heads_ + h) * dim_, sums.Of(block));
        }
      }
    });
    sums.AddUp(d_weights);
  }

 private:
  bool IsQuery(int64_t h) const { return h < plan_.query_heads; }
  bool MemoryNormed() const { return plan_.norm == QkPlan::Norm::kBefore; }

  // Loads x and what the norm reads (y = x or its rotation).
  void Load(int64_t r, int64_t h, S* x, S* y) const {
    const T* in = in_ + (r * in_heads_ + h) * dim_;
#pragma omp simd
    for (int64_t c = 0; c < dim_; ++c) x[c] = y[c] = static_cast<S>(in[c]);
    if (Rotates(plan_)) rotation_.Apply(r % length_, 1, y);
  }

  void Row(int64_t r, int64_t h, S* x, S* y, T* local, T* memory) const {
    const HeadWeights<S> w = weights_[IsQuery(h)];
    Load(r, h, x, y);
    if (Norms(plan_)) {
      const S inverse = InverseRms(y, dim_, plan_.eps);
#pragma omp simd
      for (int64_t c = 0; c < dim_; ++c) y[c] *= inverse * w.norm[c];
    }
    if (local != nullptr) {
#pragma omp simd
      for (int64_t c = 0; c < dim_; ++c) local[c] = static_cast<T>(y[c]);
    }
    if (memory == nullptr) return;
    const S* m = MemoryNormed() ? y : x;
#pragma omp simd
    for (int64_t c = 0; c < dim_; ++c) {
      memory[c] = static_cast<T>(w.scale ? m[c] * w.scale[c] : m[c]);
    }
  }

  void RowBackward(int64_t r, int64_t h, const T* d_local, const T* d_memory,
                   S* scratch, T* d_in, S* sums) const {
    const HeadWeights<S> w = weights_[IsQuery(h)];
    S* d_norm = sums + (IsQuery(h) ? dim_ : 0);
    S* d_scale = sums + (IsQuery(h) ? 3 : 2) * dim_;
    S *x = scratch, *y = x + dim_, *dy = y + dim_, *dx = dy + dim_;
    Load(r, h, x, y);
    const S inverse = Norms(plan_) ? InverseRms(y, dim_, plan_.eps) : S{1};
#pragma omp simd
    for (int64_t c = 0; c < dim_; ++c) {
      y[c] *= inverse;
      dy[c] = d_local ? static_cast<S>(d_local[c]) : S{0};
      dx[c] = 0;
    }
    if (d_memory != nullptr) {
      MemoryBackward(w, d_memory, x, y, d_scale, MemoryNormed() ? dy : dx);
    }
    if (Norms(plan_)) NormBackward(w, y, inverse, dy, d_norm);
    if (Rotates(plan_)) rotation_.Apply(r % length_, -1, dy);
#pragma omp simd
    for (int64_t c = 0; c < dim_; ++c) d_in[c] = static_cast<T>(dx[c] + dy[c]);
  }

  // d += gradient of what the memory's scale reads: x, or the normed y.
  void MemoryBackward(const HeadWeights<S>& w, const T* d_memory, const S* x,
                      const S* y, S* d_scale, S* d) const {
    if (w.scale == nullptr) {
#pragma omp simd
      for (int64_t c = 0; c < dim_; ++c) d[c] += static_cast<S>(d_memory[c]);
      return;
    }
    const bool normed = MemoryNormed();
#pragma omp simd
    for (int64_t c = 0; c < dim_; ++c) {
      const S g = static_cast<S>(d_memory[c]);
      d_scale[c] += g * (normed ? y[c] * w.norm[c] : x[c]);
      d[c] += g * w.scale[c];
    }
  }

  // d: in with respect to y w, out with respect to the norm's input; y is the
  // input divided by its RMS.
  void NormBackward(const HeadWeights<S>& w, const S* y, S inverse, S* d,
                    S* d_norm) const {
    S dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t c = 0; c < dim_; ++c) dot += d[c] * w.norm[c] * y[c];
    dot /= static_cast<S>(dim_);
#pragma omp simd
    for (int64_t c = 0; c < dim_; ++c) {
      d_norm[c] += d[c] * y[c];
      d[c] = inverse * (d[c] * w.norm[c] - y[c] * dot);
    }
  }

  const QkPlan& plan_;
  const T* in_;
  int64_t rows_, length_, heads_, in_heads_, dim_;
  HeadWeights<S> weights_[2];  // of k heads, of q heads
  Rotation<S> rotation_;
};

template <typename F>
void WithElement(at::ScalarType type, const F& f) {
  if (type == at::kDouble) return f(double{});
  if (type == at::kBFloat16) return f(at::BFloat16{});
  TORCH_CHECK(type == at::kFloat, "unsupported dtype");
  f(float{});
}

template <typename T>
T* DataOrNull(const at::Tensor& t) {
  return t.defined() ? t.mutable_data_ptr<T>() : nullptr;
}

// As PlainQk, by the loops over rows.
Qk MakeQk(const QkPlan& plan, const at::Tensor& qkv, const QkWeights& weights,
          int64_t first_position) {
  const std::vector<int64_t> shape = {
      qkv.size(0), qkv.size(1), plan.query_heads + plan.kv_heads, qkv.size(3)};
  const auto make = [&](bool computed) {
    return computed ? at::empty(shape, qkv.options()) : at::Tensor();
  };
  const Qk made{make(MakesLocal(plan)), make(MakesMemory(plan))};
  WithElement(qkv.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    Preparer<T>(plan, qkv, weights, first_position)
        .Forward(DataOrNull<T>(made.local), DataOrNull<T>(made.memory));
  });
  return made;
}

}  // namespace

bool Rotates(const QkPlan& plan) {
  return plan.local && plan.norm == QkPlan::Norm::kLocalAfterRope &&
         plan.positions.rope;
}
bool Norms(const QkPlan& plan) {
  return plan.norm == QkPlan::Norm::kBefore ||
         (plan.local && plan.norm == QkPlan::Norm::kLocalAfterRope);
}
bool MakesLocal(const QkPlan& plan) { return plan.local && Norms(plan); }
bool MakesMemory(const QkPlan& plan) {
  return plan.memory && (plan.memory_scales || (!plan.local && Norms(plan)));
}
bool BranchesDiffer(const QkPlan& plan) {
  return plan.local && plan.memory &&
         (plan.memory_scales || plan.norm == QkPlan::Norm::kLocalAfterRope);
}

Qk PrepareQk(const QkPlan& plan, const at::Tensor& qkv,
             const QkWeights& weights, int64_t first_position) {
  const int64_t heads = plan.query_heads + plan.kv_heads;
  const at::Tensor given = qkv.narrow(2, 0, heads);
  at::Tensor local, memory;
  if (MakesLocal(plan) || MakesMemory(plan)) {
    const Qk made = qkv.is_cpu() ? MakeQk(plan, qkv, weights, first_position)
                                 : PlainQk(plan, qkv, weights, first_position);
    local = made.local;
    memory = made.memory;
  }
  if (!local.defined() && plan.local) local = given;
  if (!memory.defined() && plan.memory) memory = given;
  if (!plan.local) return {memory, at::Tensor()};
  return {local, BranchesDiffer(plan) ? memory : at::Tensor()};
}

QkWeights PrepareQkBackward(const QkPlan& plan, const at::Tensor& qkv,
                            const QkWeights& weights, const Qk& d,
                            at::Tensor& d_qkv) {
  if (!qkv.is_cpu()) return PlainQkBackward(plan, qkv, weights, d, d_qkv);
  const at::Tensor& d_local = plan.local ? d.local : d.memory;
  const at::Tensor& d_memory = plan.local ? d.memory : d.local;
  const at::ScalarType sum_type =
      qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor d_weights =
      at::empty({4, qkv.size(3)}, qkv.options().dtype(sum_type));
  WithElement(qkv.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    Preparer<T>(plan, qkv, weights, 0)
        .Backward(DataOrNull<T>(d_local), DataOrNull<T>(d_memory),
                  d_qkv.mutable_data_ptr<T>(),
                  d_weights.mutable_data_ptr<SumType<T>>());
  });
  const auto row = [&](const at::Tensor& weight, int64_t index) {
    return weight.defined() ? d_weights[index] : at::Tensor();
  };
  return {row(weights.norm_q, 1), row(weights.norm_k, 0),
          row(weights.memory_q_scale, 3), row(weights.memory_k_scale, 2)};
}

}  // namespace rattn
