// The memory branch straight from its definition (mask form, fp64), forwards
// and backwards, and a harness that holds one random problem's tensors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cpu/branch.h"
#include "kernels/random.h"
#include "kernels/window.h"

namespace rattn {

using Vec = std::vector<double>;

// A tensor [B, T, H, D] that owns its memory; `padded` leaves gaps between
// rows and puts heads outside tokens.
struct OwnedTensor {
  OwnedTensor() = default;
  OwnedTensor(std::array<int64_t, 4> shape, Dtype dtype, bool padded) {
    view.dtype = dtype;
    view.shape = shape;
    const int64_t row = shape[3] + (padded ? 8 : 0);
    if (padded) {
      view.stride = {shape[1] * shape[2] * row, row, shape[1] * row, 1};
    } else {
      view.stride = {shape[1] * shape[2] * row, shape[2] * row, row, 1};
    }
    bytes.assign(shape[0] * view.stride[0] * ByteSize(dtype), char(0xFF));
    view.data = bytes.data();
  }
  OwnedTensor(const OwnedTensor&) = delete;
  OwnedTensor& operator=(OwnedTensor&&) = default;
  void Fill(uint64_t stream, double scale) {
    const Philox philox(11, stream);
    uint64_t n = 0;
    for (int64_t b = 0; b < view.shape[0]; ++b)
      for (int64_t t = 0; t < view.shape[1]; ++t)
        for (int64_t h = 0; h < view.shape[2]; ++h)
          for (int64_t d = 0; d < view.shape[3]; ++d)
            view.Set(b, t, h, d, scale * philox.Normal(n++));
  }
  // All elements in row-major order, widened.
  Vec Values() const {
    Vec out;
    for (int64_t b = 0; b < view.shape[0]; ++b)
      for (int64_t t = 0; t < view.shape[1]; ++t)
        for (int64_t h = 0; h < view.shape[2]; ++h)
          for (int64_t d = 0; d < view.shape[3]; ++d)
            out.push_back(view.Get(b, t, h, d));
    return out;
  }
  std::vector<char> bytes;
  TensorView view;
};

inline Vec Phi(FeatureMap map, std::span<const double> x) {
  const int64_t n = x.size();
  if (map == FeatureMap::kIdentity) return Vec(x.begin(), x.end());
  Vec out(2 * n);
  double sum[2] = {0, 0};
  for (int64_t i = 0; i < 2 * n; ++i) {
    const double y = i < n ? x[i] : -x[i - n];
    out[i] = map == FeatureMap::kRelu ? std::max(y, 0.0) : std::exp(y);
    sum[i / n] += out[i];
  }
  if (map == FeatureMap::kSoftmax) {
    for (int64_t i = 0; i < 2 * n; ++i) out[i] /= sum[i / n];
  }
  return out;
}

inline Vec PhiGrad(FeatureMap map, std::span<const double> x, const Vec& phi,
                   const Vec& d_phi) {
  const int64_t n = x.size();
  Vec out(n);
  for (int64_t s = 0; s < static_cast<int64_t>(phi.size()) / n; ++s) {
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += phi[s * n + i] * d_phi[s * n + i];
    for (int64_t i = 0; i < n; ++i) {
      const double f = phi[s * n + i], g = d_phi[s * n + i];
      const double sign = s == 0 ? 1 : -1;
      if (map == FeatureMap::kIdentity) out[i] += g;
      if (map == FeatureMap::kRelu) out[i] += f > 0 ? sign * g : 0;
      if (map == FeatureMap::kSoftmax) out[i] += sign * f * (g - mean);
    }
  }
  return out;
}

// Values and, where `d_o` is not empty, gradients.
struct OracleResult {
  Vec o, final_state, key_sum;
  Vec dq, dk, dv, d_initial;
};

inline void ExpectSameBits(const OracleResult& a, const OracleResult& b) {
  EXPECT_EQ(a.o, b.o);
  EXPECT_EQ(a.final_state, b.final_state);
  EXPECT_EQ(a.key_sum, b.key_sum);
  EXPECT_EQ(a.dq, b.dq);
  EXPECT_EQ(a.dk, b.dk);
  EXPECT_EQ(a.dv, b.dv);
  EXPECT_EQ(a.d_initial, b.d_initial);
}

struct OracleInput {
  Vec q, k, v, initial, d_o, d_final;  // initial, d_final: zeros if absent
};

inline OracleResult RunOracle(const Problem& p, const OracleInput& in) {
  const Shape& s = p.shape;
  const int64_t F = FeatureDim(p), D = s.head_dim, Dv = s.value_dim;
  const int64_t Hs = StateHeads(p), g = GroupSize(s);
  const HeadRange heads = MemoryHeads(p.spec, s.query_heads);
  const bool normalized = p.spec.memory.normalizer == Normalizer::kSum;
  const FeatureMap map = p.spec.memory.feature_map;
  OracleResult r;
  r.o.assign(s.batch * s.query_len * s.query_heads * Dv, 0);
  r.final_state = in.initial;
  r.key_sum.assign(s.batch * s.kv_heads * F, 0);
  r.dq.assign(in.q.size(), 0);
  r.dk.assign(in.k.size(), 0);
  r.dv.assign(in.v.size(), 0);
  r.d_initial = in.d_final;
  const int64_t last = s.key_len - 1;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t kv = 0; kv < s.kv_heads; ++kv) {
      const auto key_at = [&](int64_t j) {
        return ((b * s.key_len + j) * s.kv_heads + kv);
      };
      std::vector<Vec> phi_k, d_phi_k(s.key_len, Vec(F));
      for (int64_t j = 0; j < s.key_len; ++j) {
        phi_k.push_back(Phi(map, {&in.k[key_at(j) * D], size_t(D)}));
      }
      for (int64_t h = kv * g; h < (kv + 1) * g; ++h) {
        const int64_t state_head = p.state_per_query_head ? h : kv;
        const int64_t state = (b * Hs + state_head) * F * Dv;
        // The end state, once per state.
        const bool first = p.state_per_query_head || h == kv * g;
        for (int64_t j = 0; first && j < s.key_len; ++j) {
          if (!MemoryVisible(p.spec, last, j)) continue;
          for (int64_t f = 0; f < F; ++f) {
            if (h == kv * g) {
              r.key_sum[(b * s.kv_heads + kv) * F + f] += phi_k[j][f];
            }
            for (int64_t c = 0; c < Dv; ++c) {
              const double d = in.d_final[state + f * Dv + c];
              const double v = in.v[key_at(j) * Dv + c];
              r.final_state[state + f * Dv + c] += phi_k[j][f] * v;
              d_phi_k[j][f] += d * v;
              r.dv[key_at(j) * Dv + c] += d * phi_k[j][f];
            }
          }
        }
        if (h < heads.begin || h >= heads.end) continue;
        for (int64_t i = 0; i < s.query_len; ++i) {
          const int64_t row = (b * s.query_len + i) * s.query_heads + h;
          const std::span<const double> q(&in.q[row * D], D);
          const Vec phi_q = Phi(map, q);
          const int64_t at = i + s.key_len - s.query_len;
          Vec num(Dv), weight(s.key_len), d_phi_q(F), R(Dv);
          double den = 0;
          for (int64_t f = 0; f < F; ++f)
            for (int64_t c = 0; c < Dv; ++c)
              num[c] += phi_q[f] * in.initial[state + f * Dv + c];
          for (int64_t j = 0; j < s.key_len; ++j) {
            if (!MemoryVisible(p.spec, at, j)) continue;
            for (int64_t f = 0; f < F; ++f) weight[j] += phi_q[f] * phi_k[j][f];
            den += weight[j];
            for (int64_t c = 0; c < Dv; ++c)
              num[c] += weight[j] * in.v[key_at(j) * Dv + c];
          }
          const double by =
              normalized ? p.memory_scale * den + kNormalizerEpsilon : 1;
          double d_den = 0;
          for (int64_t c = 0; c < Dv; ++c) {
            r.o[row * Dv + c] = p.memory_scale * num[c] / by;
            if (in.d_o.empty()) continue;
            R[c] = p.memory_scale * in.d_o[row * Dv + c] / by;
            if (normalized) d_den -= p.memory_scale * R[c] * num[c] / by;
          }
          if (in.d_o.empty()) continue;
          for (int64_t j = 0; j < s.key_len; ++j) {
            if (!MemoryVisible(p.spec, at, j)) continue;
            double d = d_den;
            for (int64_t c = 0; c < Dv; ++c) {
              d += R[c] * in.v[key_at(j) * Dv + c];
              r.dv[key_at(j) * Dv + c] += weight[j] * R[c];
            }
            for (int64_t f = 0; f < F; ++f) {
              d_phi_q[f] += d * phi_k[j][f];
              d_phi_k[j][f] += d * phi_q[f];
            }
          }
          for (int64_t f = 0; f < F; ++f) {
            for (int64_t c = 0; c < Dv; ++c) {
              d_phi_q[f] += in.initial[state + f * Dv + c] * R[c];
              r.d_initial[state + f * Dv + c] += phi_q[f] * R[c];
            }
          }
          const Vec dq = PhiGrad(map, q, phi_q, d_phi_q);
          std::copy(dq.begin(), dq.end(), r.dq.begin() + row * D);
        }
      }
      for (int64_t j = 0; j < s.key_len; ++j) {
        const std::span<const double> k(&in.k[key_at(j) * D], D);
        const Vec dk = PhiGrad(map, k, phi_k[j], d_phi_k[j]);
        std::copy(dk.begin(), dk.end(), r.dk.begin() + key_at(j) * D);
      }
    }
  }
  return r;
}

// Root of the mean squared difference over that of `want`.
inline double RelativeRmse(const Vec& got, const Vec& want) {
  EXPECT_EQ(got.size(), want.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  if (size == 0) return difference == 0 ? 0 : INFINITY;
  return std::sqrt(difference / size);
}

// One problem with random tensors, run through MemoryForward and -Backward.
class MemoryCase {
 public:
  struct Options {
    bool initial = false;
    bool d_final = false;
    bool key_sum = false;
    bool padded = false;
    double scale = 1;  // of q and k
  };

  MemoryCase(const Problem& problem, const Options& options)
      : problem_(problem), options_(options) {
    problem_.phase = Phase::kTrain;
    const Shape& s = problem.shape;
    const bool pad = options.padded;
    const std::array<int64_t, 4> q = {s.batch, s.query_len, s.query_heads,
                                      s.head_dim};
    const std::array<int64_t, 4> k = {s.batch, s.key_len, s.kv_heads,
                                      s.head_dim};
    const std::array<int64_t, 4> v = {s.batch, s.key_len, s.kv_heads,
                                      s.value_dim};
    const std::array<int64_t, 4> o = {s.batch, s.query_len, s.query_heads,
                                      s.value_dim};
    const std::array<int64_t, 4> state = {s.batch, StateHeads(problem),
                                          FeatureDim(problem), s.value_dim};
    q_ = OwnedTensor(q, problem.dtype, pad);
    k_ = OwnedTensor(k, problem.dtype, pad);
    v_ = OwnedTensor(v, problem.dtype, pad);
    d_o_ = OwnedTensor(o, problem.dtype, pad);
    q_.Fill(1, options.scale);
    k_.Fill(2, options.scale);
    v_.Fill(3, 1);
    d_o_.Fill(4, 1);
    o_ = OwnedTensor(o, Dtype::kF32, pad);
    dq_ = OwnedTensor(q, Dtype::kF32, pad);
    dk_ = OwnedTensor(k, Dtype::kF32, pad);
    dv_ = OwnedTensor(v, Dtype::kF32, pad);
    initial_ = OwnedTensor(state, Dtype::kF32, pad);
    d_final_ = OwnedTensor(state, Dtype::kF32, false);
    final_ = OwnedTensor(state, Dtype::kF32, pad);
    d_initial_ = OwnedTensor(state, Dtype::kF32, false);
    key_sum_ =
        OwnedTensor({s.batch, s.kv_heads, state[2], 1}, Dtype::kF32, false);
    key_sum_.Fill(0, 0);
    initial_.Fill(5, options.initial ? 1 : 0);
    d_final_.Fill(6, options.d_final ? 1 : 0);
  }

  OracleInput Input() const {
    return {q_.Values(),       k_.Values(),   v_.Values(),
            initial_.Values(), d_o_.Values(), d_final_.Values()};
  }

  // The kernels' results under the given tiling and threads. Scratch memory
  // is poisoned with NaN and guarded on both sides.
  OracleResult Run(Tiling tiling, int threads, bool accumulate = false) {
    problem_.tiling = tiling;
    problem_.threads = threads;
    Buffers buffers;
    buffers.q = q_.view;
    buffers.k = k_.view;
    buffers.v = v_.view;
    if (options_.initial) buffers.initial_state = initial_.view;
    buffers.final_state = final_.view;
    if (options_.d_final) buffers.d_final_state = d_final_.view;
    buffers.d_initial_state = d_initial_.view;
    key_sum_.Fill(0, 0);
    for (OwnedTensor* result : {&o_, &final_, &dq_, &dk_, &dv_, &d_initial_}) {
      if (!accumulate)
        std::fill_n(result->bytes.data(), result->bytes.size(), char(0xFF));
    }
    const size_t bytes = MemoryScratchBytes(problem_);
    std::vector<char> memory(bytes + 192, char(0xFF));
    const size_t offset = 64 - reinterpret_cast<uintptr_t>(memory.data()) % 64;
    const Workspace workspace{memory.data() + offset, bytes};
    MemoryForward(problem_, buffers, o_.view,
                  options_.key_sum ? key_sum_.view : TensorView(), workspace);
    std::fill_n(memory.data() + offset, bytes, char(0xFF));
    BranchGrads grads;
    grads.dq = dq_.view;
    grads.dk = dk_.view;
    grads.dv = dv_.view;
    grads.accumulate_q = grads.accumulate_k = grads.accumulate_v = accumulate;
    MemoryBackward(problem_, buffers, o_.view, d_o_.view, grads, workspace);
    for (size_t i = 0; i < memory.size(); ++i) {
      if (i < offset || i >= offset + bytes) {
        EXPECT_EQ(memory[i], char(0xFF)) << "written outside the scratch";
      }
    }
    return {o_.Values(),  final_.Values(), key_sum_.Values(),  dq_.Values(),
            dk_.Values(), dv_.Values(),    d_initial_.Values()};
  }

  const Problem& problem() const { return problem_; }
  OwnedTensor q_, k_, v_, o_, d_o_, dq_, dk_, dv_;
  OwnedTensor initial_, final_, d_initial_, d_final_, key_sum_;

 private:
  Problem problem_;
  Options options_;
};

}  // namespace rattn
