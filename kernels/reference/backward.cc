// Gradients by the chain rule, row by row. Everything that forward computed
// is computed again in fp64: the kept tensors may be rounded.
#include <algorithm>
#include <cmath>

#include "kernels/reference/group.h"
#include "kernels/reference/phases.h"
#include "kernels/sequences.h"

namespace rattn::reference {
namespace {

struct Slices {
  Slices(const Problem& p, Scratch* s)
      : group(p, s),
        row(p, s),
        scales(p, s),
        state(s->Take(StateSize(p))),
        d_state(s->Take(StateSize(p))),
        d_final(s->Take(StateSize(p))),
        d_k(s->Take(p.shape.key_len * p.shape.head_dim)),
        d_v(s->Take(p.shape.key_len * p.shape.value_dim)),
        d_phi_k(s->Take(p.shape.key_len * FeatureDim(p))),
        d_o(s->Take(p.shape.value_dim)),
        d_local(s->Take(p.shape.value_dim)),
        d_memory(s->Take(p.shape.value_dim)),
        d_q(s->Take(p.shape.head_dim)),
        d_q_sink(s->Take(p.shape.head_dim)),
        d_q_memory(s->Take(p.shape.head_dim)),
        d_phi_q(s->Take(FeatureDim(p))),
        d_norm_local(s->Take(GroupSize(p.shape) * p.shape.value_dim)),
        d_norm_memory(s->Take(GroupSize(p.shape) * p.shape.value_dim)),
        d_sink(s->Take(GroupSize(p.shape))) {}
  static int64_t StateSize(const Problem& p) {
    return FeatureDim(p) * p.shape.value_dim;
  }

  Group group;
  Row row;
  NormScales scales;
  double *state, *d_state, *d_final;  // [F, Dv]
  double *d_k, *d_v, *d_phi_k;        // rows of the group's keys
  double *d_o, *d_local, *d_memory;   // [Dv]
  double *d_q, *d_q_sink, *d_q_memory, *d_phi_q;
  double *d_norm_local, *d_norm_memory;  // [heads of the group, Dv]
  double* d_sink;                        // [heads of the group]
};

// d_o -> gradients of the two branch outputs and of their norm scales.
void CombineGradient(const Problem& problem, int64_t h, int64_t in_group,
                     Slices* m) {
  const MixerSpec& spec = problem.spec;
  const int64_t n = problem.shape.value_dim;
  const auto branch = [&](const HeadRange& heads, const double* o,
                          const double* scale, double* d, double* d_scale) {
    Fill(0, n, d);
    if (!Contains(heads, h)) return;
    if (UsesNorms(spec)) {
      NormGradient(BranchWeight(spec.combine), o, scale, m->d_o, n, d,
                   d_scale + in_group * n);
    } else {
      AddScaled(1, m->d_o, n, d);
    }
  };
  const int64_t heads = problem.shape.query_heads;
  branch(LocalHeads(spec, heads), m->row.o_local, m->scales.local, m->d_local,
         m->d_norm_local);
  branch(MemoryHeads(spec, heads), m->row.o_memory, m->scales.memory,
         m->d_memory, m->d_norm_memory);
}

// With p the softmax row: dv_j += p_j do, ds_j = p_j (do.v_j - do.o), and the
// sink logit is a score without a value.
void LocalGradient(const Problem& problem, int64_t position, double lse,
                   double sink_logit, double* d_sink, Slices* m) {
  if (std::isinf(lse)) return;
  const Shape& s = problem.shape;
  const LocalSpec& local = problem.spec.local;
  const double scale = LocalScale(problem);
  const double mean = Dot(m->d_local, m->row.o_local, s.value_dim);
  *d_sink -= std::exp(sink_logit - lse) * mean;
  ForEachVisible(local, position, [&](int64_t j) {
    const double* q = m->row.local_query().For(local, j);
    const double* k = m->group.k + j * s.head_dim;
    const double* v = m->group.v + j * s.value_dim;
    const double score = Capped(problem, scale * Dot(q, k, s.head_dim));
    const double p = std::exp(score - lse);
    AddScaled(p, m->d_local, s.value_dim, m->d_v + j * s.value_dim);
    const double d_score = scale * CapSlope(problem, score) * p *
                           (Dot(m->d_local, v, s.value_dim) - mean);
    AddScaled(d_score, k, s.head_dim,
              j < SinkCount(local) ? m->d_q_sink : m->d_q);
    AddScaled(d_score, q, s.head_dim, m->d_k + j * s.head_dim);
  });
}

// o = scale phi(q) S / denominator: the gradients of phi(q), phi(k_j), v_j and
// of the initial state.
void MemoryGradient(const Problem& problem, int64_t position, Slices* m) {
  const int64_t features = FeatureDim(problem), n = problem.shape.value_dim;
  const double* d_read = m->d_memory;
  const double factor = problem.memory_scale / m->row.denominator;
  const bool normalized = problem.spec.memory.normalizer == Normalizer::kSum;
  const double d_sum =
      normalized ? -factor * Dot(d_read, m->row.o_memory, n) : 0;
  for (int64_t f = 0; f < features; ++f) {
    m->d_phi_q[f] += factor * Dot(m->state + f * n, d_read, n);
  }
  Absorb(factor, m->row.phi, d_read, features, n, m->d_state);
  const int64_t end = position - MemoryDelay(problem.spec) + 1;
  for (int64_t j = 0; j < end; ++j) {
    const double* phi = m->group.phi + j * features;
    const double d_weight = factor * Dot(d_read, m->group.v + j * n, n) + d_sum;
    AddScaled(d_weight, phi, features, m->d_phi_q);
    AddScaled(d_weight, m->row.phi, features, m->d_phi_k + j * features);
    AddScaled(factor * Dot(m->row.phi, phi, features), d_read, n,
              m->d_v + j * n);
  }
}

void StoreQueryGradient(const Problem& problem, const Buffers& buffers,
                        int64_t b, int64_t i, int64_t h, int64_t position,
                        Slices* m) {
  const int64_t d = problem.shape.head_dim;
  Rotate(problem.positions, -position, d, m->d_q);
  Rotate(problem.positions, -SinkQueryPosition(problem.spec.local, position), d,
         m->d_q_sink);
  AddScaled(1, m->d_q_sink, d, m->d_q);
  if (HasMemory(problem.spec)) {
    FeaturesGradient(problem.spec.memory.feature_map, m->row.q_memory,
                     m->row.phi, m->d_phi_q, d,
                     buffers.q_memory ? m->d_q_memory : m->d_q);
  }
  if (buffers.dq) StoreRow(buffers.dq, b, i, h, m->d_q);
  if (buffers.dq_memory) StoreRow(buffers.dq_memory, b, i, h, m->d_q_memory);
}

void RowGradient(const Problem& problem, const Buffers& buffers, int64_t b,
                 int64_t i, int64_t h, int64_t in_group, Slices* m) {
  const Shape& s = problem.shape;
  const int64_t position = RowPosition(s, i);
  const double sink_logit = SinkLogit(buffers, h);
  m->row.Load(problem, buffers, b, i, h, position);
  const RowSoftmax softmax = RowForward(problem, m->group, m->scales, m->state,
                                        sink_logit, h, position, &m->row);
  LoadRow(buffers.d_o, b, i, h, m->d_o);
  CombineGradient(problem, h, in_group, m);
  Fill(0, s.head_dim, m->d_q);
  Fill(0, s.head_dim, m->d_q_sink);
  Fill(0, s.head_dim, m->d_q_memory);
  Fill(0, FeatureDim(problem), m->d_phi_q);
  if (Contains(LocalHeads(problem.spec, s.query_heads), h)) {
    LocalGradient(problem, position, softmax.lse, sink_logit,
                  m->d_sink + in_group, m);
  }
  if (Contains(MemoryHeads(problem.spec, s.query_heads), h)) {
    MemoryGradient(problem, position, m);
  }
  StoreQueryGradient(problem, buffers, b, i, h, position, m);
}

// final_state = initial_state + sum over the absorbed tokens of phi^T v.
void FinalStateGradient(const Problem& problem, const Buffers& buffers,
                        int64_t b, int64_t h, Slices* m) {
  const int64_t features = FeatureDim(problem), n = problem.shape.value_dim;
  if (buffers.d_final_state) {
    LoadState(buffers.d_final_state, b, h, problem, m->d_final);
    AddScaled(1, m->d_final, features * n, m->d_state);
    const int64_t end = problem.shape.key_len - MemoryDelay(problem.spec);
    for (int64_t j = 0; j < end; ++j) {
      for (int64_t f = 0; f < features; ++f) {
        const double* d = m->d_final + f * n;
        m->d_phi_k[j * features + f] += Dot(d, m->group.v + j * n, n);
        AddScaled(m->group.phi[j * features + f], d, n, m->d_v + j * n);
      }
    }
  }
  if (buffers.d_initial_state) {
    StoreState(buffers.d_initial_state, b, h, problem, m->d_state);
  }
}

void StoreKeyGradients(const Problem& problem, const Buffers& buffers,
                       int64_t b, int64_t h, Slices* m) {
  const Shape& s = problem.shape;
  const int64_t features = FeatureDim(problem);
  double* d_k_memory = m->d_q_memory;  // free by now
  for (int64_t j = 0; j < s.key_len; ++j) {
    double* d_k = m->d_k + j * s.head_dim;
    Rotate(problem.positions, -j, s.head_dim, d_k);
    Fill(0, s.head_dim, d_k_memory);
    if (HasMemory(problem.spec)) {
      FeaturesGradient(problem.spec.memory.feature_map,
                       m->group.k_memory + j * s.head_dim,
                       m->group.phi + j * features, m->d_phi_k + j * features,
                       s.head_dim, buffers.k_memory ? d_k_memory : d_k);
    }
    if (buffers.dk) StoreRow(buffers.dk, b, j, h, d_k);
    if (buffers.dk_memory) StoreRow(buffers.dk_memory, b, j, h, d_k_memory);
    if (buffers.dv) {
      StoreRow(buffers.dv, b, j, h, m->d_v + j * s.value_dim);
    }
  }
}

void StoreParameterGradients(const Problem& problem, const Buffers& buffers,
                             int64_t h, const Slices& m) {
  const int64_t heads = GroupSize(problem.shape);
  const int64_t n = problem.shape.value_dim;
  for (int64_t g = 0; g < heads; ++g) {
    const int64_t hq = h * heads + g;
    if (buffers.d_norm_local) {
      StoreRow(buffers.d_norm_local, 0, 0, hq, m.d_norm_local + g * n);
    }
    if (buffers.d_norm_memory) {
      StoreRow(buffers.d_norm_memory, 0, 0, hq, m.d_norm_memory + g * n);
    }
    if (buffers.d_sink_logit) {
      buffers.d_sink_logit.Set(0, 0, 0, hq, m.d_sink[g]);
    }
  }
}

void SequenceGradient(const Problem& problem, const Buffers& buffers, int64_t b,
                      int64_t h, Slices* m) {
  const Shape& s = problem.shape;
  const int64_t heads = GroupSize(s);
  m->group.Load(problem, buffers, b, h);
  Fill(0, s.key_len * s.head_dim, m->d_k);
  Fill(0, s.key_len * s.value_dim, m->d_v);
  Fill(0, s.key_len * FeatureDim(problem), m->d_phi_k);
  for (int64_t g = 0; g < heads; ++g) {
    const int64_t hq = h * heads + g;
    const int64_t hs = problem.state_per_query_head ? hq : h;
    const bool first = problem.state_per_query_head || g == 0;
    const bool last = problem.state_per_query_head || g == heads - 1;
    if (first) {
      LoadState(buffers.initial_state, b, hs, problem, m->state);
      Fill(0, Slices::StateSize(problem), m->d_state);
    }
    m->scales.Load(buffers, hq);
    for (int64_t i = 0; i < s.query_len; ++i) {
      RowGradient(problem, buffers, b, i, hq, g, m);
    }
    if (last) FinalStateGradient(problem, buffers, b, hs, m);
  }
  StoreKeyGradients(problem, buffers, b, h, m);
}

}  // namespace

size_t BackwardScratch(const Problem& problem) {
  Scratch count(nullptr);
  Slices slices(problem, &count);
  return count.bytes();
}

void BackwardHead(const Problem& problem, const Buffers& buffers, int64_t h,
                  Scratch scratch) {
  Slices m(problem, &scratch);
  const int64_t heads = GroupSize(problem.shape);
  Fill(0, heads * problem.shape.value_dim, m.d_norm_local);
  Fill(0, heads * problem.shape.value_dim, m.d_norm_memory);
  Fill(0, heads, m.d_sink);
  for (int64_t i = 0; i < SequenceCount(problem); ++i) {
    const SequenceCall call = SequenceAt(problem, buffers, i);
    SequenceGradient(call.problem, call.buffers, call.batch, h, &m);
  }
  StoreParameterGradients(problem, buffers, h, m);
}

}  // namespace rattn::reference
