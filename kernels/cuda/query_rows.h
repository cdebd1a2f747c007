// The query rows that a block works on, and how its outputs are stored.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/tile.h"
#include "kernels/mixer_spec.h"
#include "kernels/window.h"

namespace rattn::cuda {

// Query rows of a block: tokens x heads of one group, heads innermost. 32 bits
// hold them (CudaSupports) and leave registers to accumulators.
struct QueryRows {
  int first = 0;        // of the block, in rows of the KV head
  int count = 0;        // rows of the KV head
  int heads = 1;        // of the group that the branch has
  int first_head = 0;   // of these
  int offset = 0;       // position of the sequence's first query
  int first_token = 0;  // where that lies in the tensors

  RATTN_FN QueryRows From(int64_t row) const {
    QueryRows rows = *this;
    rows.first = static_cast<int>(row);
    return rows;
  }
  RATTN_FN int64_t Token(int64_t row) const {
    return first_token + row / heads;
  }
  RATTN_FN int64_t Head(int64_t row) const { return first_head + row % heads; }
  RATTN_FN int64_t Position(int64_t row) const { return row / heads + offset; }
  // Where row `row` of the block comes from.
  RATTN_FN RowSource Source(int row) const {
    const int64_t at = first + row;
    return {static_cast<int>(Token(at)), static_cast<int>(Head(at)),
            at < count};
  }
  // Positions of the rows [first, last).
  RATTN_FN KeyRange Positions(int64_t last) const {
    return {Position(first), Position((last < count ? last : count) - 1) + 1};
  }
};

// Of group `index` of `group` query heads, those that the branch has.
RATTN_FN QueryRows RowsOfGroup(int index, int group, const HeadRange& heads,
                               int64_t query_len, int64_t key_len,
                               int first_token = 0) {
  const int64_t begin = static_cast<int64_t>(index) * group;
  const int64_t end = begin + group;
  const int64_t first = begin > heads.begin ? begin : heads.begin;
  const int64_t last = end < heads.end ? end : heads.end;
  const int64_t count = last > first ? last - first : 0;
  return {.first = 0,
          .count = static_cast<int>(query_len * count),
          .heads = static_cast<int>(count > 0 ? count : 1),
          .first_head = static_cast<int>(first),
          .offset = static_cast<int>(key_len - query_len),
          .first_token = first_token};
}

struct OutputPlace {
  int64_t batch, token, head;
};

// This lane's columns of one row of accumulators, times `factor`, to `o` and
// `wide` [B, Tq, Hq, Dv] where present.
template <typename T, int kCount, class Exec>
RATTN_FN void StoreOutputRow(Exec& x, const GlobalView<T>& o,
                             const GlobalView<float>& wide,
                             const OutputPlace& at, int value_dim, int half,
                             float factor, const Accumulator (&sum)[kCount]) {
  RATTN_UNROLL
  for (int n = 0; n < kCount; ++n) {
    RATTN_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int column = 8 * n + AccumulatorColumn(x.lane()) + i;
      if (column >= value_dim) continue;
      const float value = sum[n].c[2 * half + i] * factor;
      if (o) {
        x.Store(o, at.batch, at.token, at.head, column,
                x.template Round<T>(value));
      }
      if (wide) x.Store(wide, at.batch, at.token, at.head, column, value);
    }
  }
}

}  // namespace rattn::cuda
