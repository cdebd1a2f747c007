// Which sequence a block works on. A call has a batch of equally long ones
// along block(2), or a pack of them along the token axis of one
// (Problem::cu_seqlens). The blocks of a pack lie behind one another along x:
// sequence i begins where its first row falls if all rows are cut together, and
// `per_sequence` pieces later for every sequence before it, so that each has
// room for its own, partial piece; what is left over has no work. A launch
// needs no table then, and a block finds its sequence by bisection.
#pragma once

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

// Rows of sequences cut into pieces, for blocks or segments.
struct Cut {
  int rows_of_token = 1;
  int rows = 1;  // of a piece
  int per_sequence = 1;

  // First piece of sequence `index`, which begins at token `offset`.
  constexpr int Begin(int offset, int index) const {
    return offset * rows_of_token / rows + index * per_sequence;
  }
};

// What a block works on.
struct Sequence {
  int index = 0;        // in the pack
  int piece = 0;        // of its own
  int first_token = 0;  // in the tensors
  int query_len = 0, key_len = 0;
};

struct PackedSequences {
  GlobalView<const int> offsets;  // [1, 1, 1, n + 1]; absent: no pack
  int count = 0;                  // n

  template <class Exec>
  RATTN_FN int Offset(Exec& x, int index) const {
    return x.Load(offsets, 0, 0, 0, index);
  }
  // The last sequence that begins at `piece` or before.
  template <class Exec>
  RATTN_FN int Find(Exec& x, const Cut& cut, int piece) const {
    int first = 0, end = count;
    while (end - first > 1) {
      const int middle = (first + end) / 2;
      if (cut.Begin(Offset(x, middle), middle) <= piece) {
        first = middle;
      } else {
        end = middle;
      }
    }
    return first;
  }
  // Of a token: where its sequence begins.
  template <class Exec>
  RATTN_FN int FirstToken(Exec& x, int64_t token) const {
    if (!offsets) return 0;
    return Offset(x, Find(x, {1, 1, 0}, static_cast<int>(token)));
  }
};

// Sequence `index` of a pack.
template <class Exec>
RATTN_FN Sequence SequenceAt(Exec& x, const PackedSequences& pack, int index) {
  const int first = pack.Offset(x, index);
  const int length = pack.Offset(x, index + 1) - first;
  return {index, 0, first, length, length};
}
// The sequence of a piece, or the one of these lengths without a pack.
template <class Exec>
RATTN_FN Sequence SequenceOf(Exec& x, const PackedSequences& pack,
                             const Cut& cut, int piece, int64_t query_len,
                             int64_t key_len) {
  if (!pack.offsets) {
    return {0, piece, 0, static_cast<int>(query_len),
            static_cast<int>(key_len)};
  }
  Sequence s = SequenceAt(x, pack, pack.Find(x, cut, piece));
  s.piece = piece - cut.Begin(s.first_token, s.index);
  return s;
}

// Offsets come to the device as parameters of launches, which nothing has to
// wait for, so many at a time.
struct StoreOffsets {
  static constexpr const char* kName = "store_offsets";
  static constexpr int kThreads = 128, kBlocks = 8;
  static constexpr int kMost = 960;  // parameters of a kernel: 4 KiB

  struct Params {
    GlobalView<int> out;  // [1, 1, 1, n + 1]
    int first = 0, count = 0;
    int offset[kMost] = {};
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    for (int i = x.thread(); i < p.count; i += kThreads) {
      x.Store(p.out, 0, 0, 0, p.first + i, p.offset[i]);
    }
  }
};

}  // namespace rattn::cuda
