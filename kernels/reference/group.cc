#include "kernels/reference/group.h"

#include <algorithm>

namespace rattn::reference {

Group::Group(const Problem& problem, Scratch* scratch) {
  const Shape& s = problem.shape;
  k = scratch->Take(s.key_len * s.head_dim);
  k_memory = scratch->Take(s.key_len * s.head_dim);
  v = scratch->Take(s.key_len * s.value_dim);
  phi = scratch->Take(s.key_len * FeatureDim(problem));
}

void Group::Load(const Problem& problem, const Buffers& buffers, int64_t b,
                 int64_t h) {
  const Shape& s = problem.shape;
  const TensorView& memory = buffers.k_memory ? buffers.k_memory : buffers.k;
  for (int64_t j = 0; j < s.key_len; ++j) {
    LoadRow(buffers.v, b, j, h, v + j * s.value_dim);
    if (HasLocal(problem.spec)) {
      LoadRow(buffers.k, b, j, h, k + j * s.head_dim);
      Rotate(problem.positions, j, s.head_dim, k + j * s.head_dim);
    }
    if (HasMemory(problem.spec)) {
      LoadRow(memory, b, j, h, k_memory + j * s.head_dim);
      Features(problem.spec.memory.feature_map, k_memory + j * s.head_dim,
               s.head_dim, phi + j * FeatureDim(problem));
    }
  }
}

Row::Row(const Problem& problem, Scratch* scratch) {
  const Shape& s = problem.shape;
  q = scratch->Take(s.head_dim);
  q_sink = scratch->Take(s.head_dim);
  q_memory = scratch->Take(s.head_dim);
  phi = scratch->Take(FeatureDim(problem));
  o_local = scratch->Take(s.value_dim);
  o_memory = scratch->Take(s.value_dim);
  o = scratch->Take(s.value_dim);
}

void Row::Load(const Problem& problem, const Buffers& buffers, int64_t b,
               int64_t i, int64_t h, int64_t position) {
  const int64_t d = problem.shape.head_dim;
  if (HasLocal(problem.spec)) {
    LoadRow(buffers.q, b, i, h, q);
    std::copy(q, q + d, q_sink);
    Rotate(problem.positions, position, d, q);
    Rotate(problem.positions, SinkQueryPosition(problem.spec.local, position),
           d, q_sink);
  }
  if (HasMemory(problem.spec)) {
    LoadRow(buffers.q_memory ? buffers.q_memory : buffers.q, b, i, h, q_memory);
    Features(problem.spec.memory.feature_map, q_memory, d, phi);
  }
}

NormScales::NormScales(const Problem& problem, Scratch* scratch)
    : local_storage_(scratch->Take(problem.shape.value_dim)),
      memory_storage_(scratch->Take(problem.shape.value_dim)) {}

void NormScales::Load(const Buffers& buffers, int64_t h) {
  const auto load = [h](const TensorView& view, double* storage) {
    if (!view) return static_cast<double*>(nullptr);
    LoadRow(view, 0, 0, h, storage);
    return storage;
  };
  local = load(buffers.norm_local, local_storage_);
  memory = load(buffers.norm_memory, memory_storage_);
}

void CombineBranches(const Problem& problem, const NormScales& scales,
                     int64_t h, Row* row) {
  const MixerSpec& spec = problem.spec;
  const int64_t n = problem.shape.value_dim;
  Fill(0, n, row->o);
  const auto add = [&](const HeadRange& heads, const double* branch,
                       const double* scale) {
    if (!Contains(heads, h)) return;
    if (UsesNorms(spec)) {
      AddNormed(BranchWeight(spec.combine), branch, scale, n, row->o);
    } else {
      AddScaled(1, branch, n, row->o);
    }
  };
  const int64_t heads = problem.shape.query_heads;
  add(LocalHeads(spec, heads), row->o_local, scales.local);
  add(MemoryHeads(spec, heads), row->o_memory, scales.memory);
}

void StoreRowOutputs(const Buffers& buffers, int64_t b, int64_t i, int64_t h,
                     const Row& row, const RowSoftmax& softmax) {
  StoreRow(buffers.o, b, i, h, row.o);
  if (buffers.o_local) StoreRow(buffers.o_local, b, i, h, row.o_local);
  if (buffers.o_memory) StoreRow(buffers.o_memory, b, i, h, row.o_memory);
  if (buffers.lse) buffers.lse.Set(b, i, h, 0, softmax.lse);
  if (buffers.max_logits) buffers.max_logits.Set(b, i, h, 0, softmax.max);
}

void MemoryForward(const Problem& problem, const Group& group,
                   const double* initial_state, int64_t position, Row* row) {
  const int64_t features = FeatureDim(problem), n = problem.shape.value_dim;
  const int64_t end = position - MemoryDelay(problem.spec) + 1;
  double key_sum = 0;
  Fill(0, n, row->o_memory);
  AddRead(row->phi, initial_state, features, n, row->o_memory);
  for (int64_t j = 0; j < end; ++j) {
    const double weight = Dot(row->phi, group.phi + j * features, features);
    key_sum += weight;
    AddScaled(weight, group.v + j * n, n, row->o_memory);
  }
  for (int64_t c = 0; c < n; ++c) row->o_memory[c] *= problem.memory_scale;
  row->denominator = Normalize(
      problem.spec.memory, problem.memory_scale * key_sum, n, row->o_memory);
}

RowSoftmax RowForward(const Problem& problem, const Group& group,
                      const NormScales& scales, const double* initial_state,
                      double sink_logit, int64_t h, int64_t position,
                      Row* row) {
  const Shape& s = problem.shape;
  RowSoftmax softmax;
  Fill(0, s.value_dim, row->o_local);
  Fill(0, s.value_dim, row->o_memory);
  if (Contains(LocalHeads(problem.spec, s.query_heads), h)) {
    softmax = LocalForward(
        problem, row->local_query(), position, sink_logit,
        [&](int64_t j) { return group.k + j * s.head_dim; },
        [&](int64_t j) { return group.v + j * s.value_dim; }, row->o_local);
  }
  if (Contains(MemoryHeads(problem.spec, s.query_heads), h)) {
    MemoryForward(problem, group, initial_state, position, row);
  }
  CombineBranches(problem, scales, h, row);
  return softmax;
}

void LoadState(const TensorView& state, int64_t b, int64_t h,
               const Problem& problem, double* out) {
  const int64_t features = FeatureDim(problem), n = problem.shape.value_dim;
  Fill(0, features * n, out);
  if (!state) return;
  for (int64_t f = 0; f < features; ++f) LoadRow(state, b, h, f, out + f * n);
}

void StoreState(const TensorView& state, int64_t b, int64_t h,
                const Problem& problem, const double* in) {
  const int64_t n = problem.shape.value_dim;
  for (int64_t f = 0; f < FeatureDim(problem); ++f) {
    StoreRow(state, b, h, f, in + f * n);
  }
}

}  // namespace rattn::reference
