// Geometry of chunkwise linear attention: which tokens and queries a chunk
// holds, where states are kept, how the work is divided. Pure functions of the
// problem.
//
// Tokens stand on a line at their positions 0..Tk-1, and every query at the
// last token that it reads, u = i + shift. Chunk c covers a piece of C places
// of that line: its queries read the state before the chunk plus the chunk's
// own tokens up to their place. Places below 0 hold queries that only read the
// initial state. Chunks are grouped into segments of m; a state is kept where
// a segment begins.
#pragma once

#include <cstdint>

#include "kernels/cpu/tile_sizes.h"
#include "kernels/problem.h"

namespace rattn {

struct MemoryPlan {
  int64_t batch, kv_heads, group;
  HeadRange heads;    // query heads that read the memory
  int64_t streams;    // states per KV head: 1, or group (state_per_query_head)
  int64_t head_dim;   // D
  int64_t features;   // F
  int64_t value_dim;  // Dv
  // Columns of a state: Dv, and the key sum as one more with Normalizer::kSum
  // (the values get a column of ones).
  int64_t columns;
  int64_t state_ld;  // leading dimension of states and value blocks
  int64_t chunk;     // C
  int64_t chunk_ld;  // leading dimension of blocks with a column per token
  int64_t every;     // m
  int64_t queries;   // Tq
  int64_t keys;      // Tk
  int64_t tokens;    // tokens that the last query reads: 0..tokens-1
  int64_t shift;
  int64_t first_chunk;  // number of the first chunk on the line, <= 0
  int64_t chunks;
  int64_t segments;
  // Work is divided by (batch, KV head), or, when those are too few for the
  // threads, by segments of them as well. Both give the same bits.
  bool split_segments;
  int64_t workers;

  int64_t heads_of_kv() const { return batch * kv_heads; }
  int64_t state_size() const { return features * state_ld; }
  int64_t segment_begin(int64_t s) const { return s * every; }
  int64_t segment_end(int64_t s) const {
    return (s + 1) * every < chunks ? (s + 1) * every : chunks;
  }
  // Head of initial_state and final_state.
  int64_t state_head(int64_t kv, int64_t stream) const {
    return kv * streams + stream;
  }
  // Query heads that read state `stream` of KV head `kv`; may be empty.
  HeadRange readers(int64_t kv, int64_t stream) const;
};

struct MemoryChunk {
  int64_t token_begin;  // tokens [token_begin, token_begin + tokens)
  int64_t tokens;
  int64_t query_begin;  // queries [query_begin, query_begin + queries)
  int64_t queries;
  int64_t row;  // place of the first query, counted from the chunk's begin
};

MemoryPlan MakeMemoryPlan(const Problem& problem,
                          TilePath path = TilePath::kVectors);
// Chunk c of [0, plan.chunks).
MemoryChunk ChunkAt(const MemoryPlan& plan, int64_t c);

}  // namespace rattn
