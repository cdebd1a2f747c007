// The two branches of a mixer for one query row, straight from the
// definition: softmax attention over the visible keys and the masked linear
// memory. Key and value rows are fp64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/problem.h"
#include "kernels/reference/rows.h"
#include "kernels/window.h"

namespace rattn::reference {

// Calls visit(j) for every key that a query at `position` sees.
template <typename Visit>
void ForEachVisible(const LocalSpec& local, int64_t position, Visit visit) {
  const KeyRange window = WindowRange(position, LocalWindow(local));
  const int64_t sinks = std::min(SinkCount(local), window.begin);
  for (int64_t j = 0; j < sinks; ++j) visit(j);
  for (int64_t j = window.begin; j < window.end; ++j) visit(j);
}

inline double LocalScale(const Problem& p) {
  return p.local_scale != 0
             ? p.local_scale
             : 1 / std::sqrt(static_cast<double>(p.shape.head_dim));
}

// A scaled score as it enters the softmax, and the slope of that.
inline double Capped(const Problem& p, double score) {
  const double cap = p.local_softcap;
  return cap > 0 ? cap * std::tanh(score / cap) : score;
}
inline double CapSlope(const Problem& p, double capped) {
  const double share = p.local_softcap > 0 ? capped / p.local_softcap : 0;
  return 1 - share * share;
}

// A query as the local branch uses it: rotated to its own position for the
// keys of the window, and to where sinks see it for the sinks.
struct LocalQuery {
  const double* window = nullptr;
  const double* sink = nullptr;
  const double* For(const LocalSpec& local, int64_t j) const {
    return j < SinkCount(local) ? sink : window;
  }
};

struct RowSoftmax {
  double max = -std::numeric_limits<double>::infinity();
  double lse = -std::numeric_limits<double>::infinity();
};

// o = sum_j softmax(scores)_j v_j, with exp(sink_logit) added to the
// denominator (-inf: no such logit). A row that sees nothing gives 0. `key`
// and `value` return row j.
template <typename Keys, typename Values>
RowSoftmax LocalForward(const Problem& p, const LocalQuery& q, int64_t position,
                        double sink_logit, Keys key, Values value, double* o) {
  const LocalSpec& local = p.spec.local;
  const double scale = LocalScale(p);
  const auto score = [&](int64_t j) {
    return Capped(p, scale * Dot(q.For(local, j), key(j), p.shape.head_dim));
  };
  Fill(0, p.shape.value_dim, o);
  RowSoftmax row{.max = sink_logit};
  ForEachVisible(local, position,
                 [&](int64_t j) { row.max = std::max(row.max, score(j)); });
  if (std::isinf(row.max)) return row;
  double sum = std::exp(sink_logit - row.max);
  ForEachVisible(local, position, [&](int64_t j) {
    const double weight = std::exp(score(j) - row.max);
    sum += weight;
    AddScaled(weight, value(j), p.shape.value_dim, o);
  });
  for (int64_t c = 0; c < p.shape.value_dim; ++c) o[c] /= sum;
  row.lse = row.max + std::log(sum);
  return row;
}

// Divides a memory read by its normalizer; returns the denominator.
inline double Normalize(const MemorySpec& memory, double key_sum, int64_t n,
                        double* o) {
  if (memory.normalizer == Normalizer::kNone) return 1;
  const double denominator = key_sum + kNormalizerEpsilon;
  for (int64_t c = 0; c < n; ++c) o[c] /= denominator;
  return denominator;
}

// o += phi S for S [F, Dv].
inline void AddRead(const double* phi, const double* state, int64_t features,
                    int64_t value_dim, double* o) {
  for (int64_t f = 0; f < features; ++f) {
    AddScaled(phi[f], state + f * value_dim, value_dim, o);
  }
}

// S += factor * phi^T v
inline void Absorb(double factor, const double* phi, const double* v,
                   int64_t features, int64_t value_dim, double* state) {
  for (int64_t f = 0; f < features; ++f) {
    AddScaled(factor * phi[f], v, value_dim, state + f * value_dim);
  }
}

}  // namespace rattn::reference
