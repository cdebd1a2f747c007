// Who reads whom in the linear memory. The tokens that anybody reads, 0..E-1
// with E = Tk - delay, are cut into segments; a query at position i reads the
// r(i) = i - delay + 1 first tokens. A block's rows take a state that stands
// for most of what they read, and go through the rest of it, its "columns",
// one by one:
//   queries as rows   the state at the begin of the segment of the first row's
//                     r; columns are the keys from there on, each row up to r
//   keys as rows      (backward) the sum over all queries that read beyond the
//                     segment of the last row; columns are the queries (all
//                     heads of the group) before those, each row from the
//                     first query on that reads it
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/packed_sequences.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

// Segments of the tokens [0, end); at least one, which may be empty. 32 bits,
// as in query_rows.h.
struct Segments {
  int tokens = 1;  // of a segment
  int end = 0;     // E
  constexpr int count() const {
    return end > 0 ? (end + tokens - 1) / tokens : 1;
  }
};

struct LinearShape {
  Segments segments;
  HeadRange heads;    // query heads of the branch
  int row_group = 1;  // query heads that read one state
  int kv_group = 1;   // query heads of a KV head
  int query_len = 0, key_len = 0;
  int delay = 0;         // MemoryDelay
  int all_segments = 1;  // of a head in tensors of states
  PackedSequences pack;
  // Of a pack's sequence: where its tokens and its segments lie.
  int first_token = 0, first_segment = 0;

  RATTN_FN Cut SegmentCut() const { return {1, segments.tokens, 1}; }
  RATTN_FN LinearShape Of(const Sequence& s) const {
    LinearShape shape = *this;
    shape.query_len = s.query_len;
    shape.key_len = s.key_len;
    shape.segments.end = s.key_len - delay;
    shape.first_token = s.first_token;
    shape.first_segment = SegmentCut().Begin(s.first_token, s.index);
    return shape;
  }

  // r of a query at `position`.
  RATTN_FN int Read(int position) const {
    const int read = position - delay + 1;
    return read > 0 ? read : 0;
  }
  // Rows of the queries that share state `index`, or of a KV head.
  RATTN_FN QueryRows Queries(int index, int group) const {
    return RowsOfGroup(index, group, heads, query_len, key_len, first_token);
  }
  RATTN_FN QueryRows Keys(int head) const {
    return {.first = 0,
            .count = key_len,
            .heads = 1,
            .first_head = head,
            .offset = 0,
            .first_token = first_token};
  }
  // First row of `rows` whose query reads more than `tokens` tokens.
  RATTN_FN int FirstThatReads(const QueryRows& rows, int tokens) const {
    const int token = tokens + delay - rows.offset;
    if (token <= 0 || rows.count == 0) return 0;
    return token < query_len ? token * rows.heads : rows.count;
  }
  // Segment of a query that reads so many tokens: the one it reads a part of.
  RATTN_FN int SegmentOf(int tokens) const {
    const int segment = tokens / segments.tokens;
    const int last = segments.count() - 1;
    return segment < last ? segment : last;
  }
};

enum class LinearRows { kQueries, kKeys };

struct ColumnRange {
  int begin = 0, end = 0;
};

// What a block of `kRows` rows works on; block(1) is the state or KV head.
template <LinearRows kWhich, int kRows>
struct LinearPattern {
  static constexpr bool kOfQueries = kWhich == LinearRows::kQueries;

  // Of a launch's blocks.
  static constexpr Cut CutOf(const LinearShape& s) {
    return {kOfQueries ? s.row_group : 1, kRows, 1};
  }
  template <class Exec>
  RATTN_FN static Sequence SequenceOfBlock(Exec& x, const LinearShape& s,
                                           int row_block) {
    return SequenceOf(x, s.pack, CutOf(s), row_block, s.query_len, s.key_len);
  }

  template <class Exec>
  RATTN_FN LinearPattern(Exec& x, const LinearShape& of_call,
                         const Sequence& sequence)
      : shape(of_call.Of(sequence)) {
    const LinearShape& s = shape;
    const int first = sequence.piece * kRows;
    if constexpr (kOfQueries) {
      rows = s.Queries(x.block(1), s.row_group).From(first);
      columns = s.Keys(x.block(1) * s.row_group / s.kv_group);
    } else {
      rows = s.Keys(x.block(1)).From(first);
      columns = s.Queries(x.block(1), s.kv_group);
    }
    if (rows.first >= rows.count) return;
    const int last = rows.first + kRows < rows.count ? rows.first + kRows - 1
                                                     : rows.count - 1;
    const auto position = [&](int row) {
      return static_cast<int>(rows.Position(row));
    };
    int segment;
    if constexpr (kOfQueries) {
      segment = s.SegmentOf(s.Read(position(rows.first)));
      begin = segment * s.segments.tokens;
      end = s.Read(position(last));
      interior = {0, s.Read(position(rows.first))};
    } else {
      segment = s.SegmentOf(position(last));
      const int next = (segment + 1) * s.segments.tokens;
      begin = s.FirstThatReads(columns, position(rows.first));
      end = segment + 1 < s.segments.count()
                ? s.FirstThatReads(columns, next - 1)
                : columns.count;
      interior = {s.FirstThatReads(columns, position(last)), end};
    }
    state = x.block(1) * s.all_segments + s.first_segment + segment;
  }

  // Columns that row `row` (of the block) takes, of [begin, end).
  RATTN_FN ColumnRange Columns(int row) const {
    const auto position = static_cast<int>(rows.Position(rows.first + row));
    if constexpr (kOfQueries) return {0, shape.Read(position)};
    return {shape.FirstThatReads(columns, position), end};
  }
  RATTN_FN int Tiles(int tile_columns) const {
    return end > begin ? (end - begin + tile_columns - 1) / tile_columns : 0;
  }
  RATTN_FN RowSource Column(int column) const {
    RowSource source = columns.Source(column);
    source.valid = column < end;
    return source;
  }
  // Whether the state counts for a row: no query reads the last keys.
  RATTN_FN float StateWeight(int64_t row) const {
    return kOfQueries || row < shape.segments.end ? 1 : 0;
  }

  LinearShape shape;  // of the sequence
  QueryRows rows, columns;
  int begin = 0, end = 0;  // columns one by one
  ColumnRange interior;    // columns that all rows take
  int state = 0;
};

// Clears scores of columns that a row does not take. `s`: 16 rows of this warp
// times columns from `first` on.
template <class Exec, class Pattern, int kCount>
RATTN_FN void MaskColumns(Exec& x, const Pattern& pattern, int first,
                          Accumulator (&s)[kCount]) {
  if (first >= pattern.interior.begin &&
      first + 8 * kCount <= pattern.interior.end) {
    return;
  }
  RATTN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const ColumnRange takes =
        pattern.Columns(x.warp() * 16 + AccumulatorRow(x.lane(), half));
    const int lane_first = first + AccumulatorColumn(x.lane());
    const int begin = takes.begin - lane_first;
    const int end = takes.end - lane_first;
    RATTN_UNROLL
    for (int n = 0; n < kCount; ++n) {
      RATTN_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int column = 8 * n + i;
        if (column < begin || column >= end) s[n].c[2 * half + i] = 0;
      }
    }
  }
}

}  // namespace rattn::cuda
