#include "kernels/reference/group.h"
#include "kernels/reference/phases.h"

namespace rattn::reference {
namespace {

struct Slices {
  Slices(const Problem& p, Scratch* scratch)
      : group(p, scratch),
        row(p, scratch),
        scales(p, scratch),
        state(scratch->Take(FeatureDim(p) * p.shape.value_dim)) {}
  Group group;
  Row row;
  NormScales scales;
  double* state;
};

// Adds the tokens that the last query read, 0..Tk-1-delay.
void AbsorbAll(const Problem& problem, const Group& group, double* state) {
  const int64_t features = FeatureDim(problem), n = problem.shape.value_dim;
  const int64_t end = problem.shape.key_len - MemoryDelay(problem.spec);
  for (int64_t j = 0; j < end; ++j) {
    Absorb(1, group.phi + j * features, group.v + j * n, features, n, state);
  }
}

}  // namespace

size_t ForwardScratch(const Problem& problem) {
  Scratch count(nullptr);
  Slices slices(problem, &count);
  return count.bytes();
}

void ForwardGroup(const Problem& problem, const Buffers& buffers, int64_t b,
                  int64_t h, Scratch scratch) {
  const Shape& s = problem.shape;
  const int64_t heads = GroupSize(s);
  Slices m(problem, &scratch);
  m.group.Load(problem, buffers, b, h);
  for (int64_t hq = h * heads; hq < (h + 1) * heads; ++hq) {
    const int64_t hs = problem.state_per_query_head ? hq : h;
    m.scales.Load(buffers, hq);
    LoadState(buffers.initial_state, b, hs, problem, m.state);
    for (int64_t i = 0; i < s.query_len; ++i) {
      const int64_t position = RowPosition(s, i);
      m.row.Load(problem, buffers, b, i, hq, position);
      const RowSoftmax softmax =
          RowForward(problem, m.group, m.scales, m.state,
                     SinkLogit(buffers, hq), hq, position, &m.row);
      StoreRowOutputs(buffers, b, i, hq, m.row, softmax);
    }
    if (buffers.final_state) {
      AbsorbAll(problem, m.group, m.state);
      StoreState(buffers.final_state, b, hs, problem, m.state);
    }
  }
}

}  // namespace rattn::reference
