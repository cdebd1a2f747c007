// Sizes of the blocks that the cpu backend works on, each with its reason.
// Figures: T 8192 (forward) or 4096 (training), Hq 16, Hkv 4, D 128, two
// threads of a Zen 5 with AVX-512 bf16 products, samples taken in turn, unless
// they say otherwise.
//
// Sizes that layouts depend on are constants. The others are TileSizes: pure
// functions of the problem, which a machine may replace (`rattn bench --tune`
// measures which ones are worth it, the harness keeps them per machine).
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// ------------------------------------------------- softmax on bf16 tiles
// 64 x 64 fp32 scores are 16 KiB and stay in the L1 cache; the probabilities of
// a block of pieces are multiplied by V together, so that the accumulators
// pass by once per block.
inline constexpr int64_t kStripRows = 64;
inline constexpr int64_t kPieceKeys = 64;
inline constexpr int64_t kBlockKeys = 256;
// Keys of one step of the backward: dS of a block of rows (twice) and P of them
// are 3 x 64 KiB and stay in the L2 cache beside Q and dO.
inline constexpr int64_t kBackwardKeys = 128;

// --------------------------------------------------- softmax on vectors
// Keys whose scores with the rows of a block are computed together: 16 KiB.
inline constexpr int64_t kKeyTile = 64;
// Keys whose gradients one task accumulates. A sequence that fits one block
// needs a single pass: dQ is complete in it as well.
inline constexpr int64_t kKeyBlock = 256;
// Positions of the queries that one task takes for the sinks, which all
// queries see.
inline constexpr int64_t kSinkSegment = 1024;

// ------------------------------------------ linear attention on bf16 tiles
// Places of a chunk whose scores are computed together, and the grain of the
// causal mask: two tiles, the height of a register block.
inline constexpr int64_t kStrip = 32;
// Queries of one head that the backward multiplies in one go.
inline constexpr int64_t kBlockRows = 128;

// -------------------------------------------- linear attention on vectors
// Rows of the causal products inside a chunk that are computed together: only
// the columns up to their last token are multiplied. A multiple of the
// register block's rows.
inline constexpr int64_t kScoreRows = 48;

// ------------------------------------------------- sizes chosen at run time

struct TileSizes {
  // Rows (positions x query heads of a KV head) of a block of queries that
  // share one walk over the keys.
  int64_t forward_rows = 0;
  int64_t backward_rows = 0;
  int64_t chunk = 0;        // C: tokens of a linear-attention chunk
  int64_t state_every = 0;  // m: chunks between kept states
  bool operator==(const TileSizes&) const = default;
};

// What multiplies: bf16 tiles, or vectors of fp32.
enum class TilePath { kVectors, kTiles };

// Without a machine's own choice, and without the problem's tiling.
TileSizes DefaultTileSizes(TilePath path, const Problem& problem);

// A machine's choice per path; 0 = the default.
struct MachineTileSizes {
  TileSizes vectors, tiles;
  bool operator==(const MachineTileSizes&) const = default;
};

// What a machine may choose; the problem's own limits come on top.
inline constexpr int64_t kLeastRows = 16, kMostRows = 4096;
inline constexpr int64_t kMostChunk = 4096, kMostEvery = 1024;

// Of the whole process; sizes of workspaces depend on it. Not to be called
// beside kernels, nor between WorkspaceBytes and the call that it is for.
// Values must be 0 or within the limits above.
void UseMachineTileSizes(const MachineTileSizes& sizes);
const MachineTileSizes& UsedMachineTileSizes();

// What a call works with: the problem's tiling before the machine's choice
// before the default. All of them give the same bits for every number of
// threads. chunk, state_every and backward_rows change the order of sums, and
// so bits; on tiles forward_rows does not.
TileSizes TileSizesOf(TilePath path, const Problem& problem);

}  // namespace rattn
