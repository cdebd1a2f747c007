// Rotary position tables (RoFormer, arXiv 2104.09864, section 3.2): position p
// turns pair i by p * theta^(-2i/D). Angles and their cosines are computed in
// fp64 and rounded once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/parallel.h"
#include "kernels/problem.h"

namespace rattn {

// Rows of D/2 cosines and sines for the positions begin .. begin + count - 1.
struct RopeTable {
  float* cos = nullptr;
  float* sin = nullptr;
  int64_t begin = 0;
  int64_t count = 0;
  int64_t half = 0;
  RopeLayout layout = RopeLayout::kHalfSplit;

  explicit operator bool() const { return cos != nullptr; }
  // Offset of a position's row. Positions before the table belong to queries
  // that see no key: any row does.
  int64_t Row(int64_t position) const {
    return std::clamp<int64_t>(position - begin, 0, count - 1) * half;
  }
};

// Takes the memory of a table and of its construction; absent without RoPE.
struct RopeScratch {
  RopeTable table;
  double* frequency = nullptr;  // radians per position of each pair
  double* fine = nullptr;       // cosines and sines of the offsets in a block
};
RopeScratch TakeRope(const Problem& problem, int64_t begin, int64_t count,
                     Arena* arena);
void FillRope(const Problem& problem, const RopeScratch& scratch);

}  // namespace rattn
