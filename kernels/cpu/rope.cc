#include "kernels/cpu/rope.h"

#include <cmath>

namespace rattn {
namespace {

// sin and cos of a sum of two angles replace most calls of sin and cos: an
// angle is a multiple of kBlock positions plus an offset below kBlock.
constexpr int64_t kBlock = 64;

// Rows [first, last) of the table, last - first <= kBlock.
void FillBlock(const RopeScratch& scratch, int64_t first, int64_t last) {
  const RopeTable& table = scratch.table;
  const int64_t half = table.half;
  for (int64_t i = 0; i < half; ++i) {
    const double angle =
        static_cast<double>(table.begin + first) * scratch.frequency[i];
    const double c = std::cos(angle);
    const double s = std::sin(angle);
    for (int64_t row = first; row < last; ++row) {
      const double* fine = scratch.fine + 2 * ((row - first) * half + i);
      table.cos[row * half + i] = static_cast<float>(c * fine[0] - s * fine[1]);
      table.sin[row * half + i] = static_cast<float>(s * fine[0] + c * fine[1]);
    }
  }
}

}  // namespace

RopeScratch TakeRope(const Problem& problem, int64_t begin, int64_t count,
                     Arena* arena) {
  RopeScratch scratch;
  if (!problem.positions.rope) return scratch;
  const int64_t half = problem.shape.head_dim / 2;
  scratch.table = {arena->Take<float>(count * half),
                   arena->Take<float>(count * half),
                   begin,
                   count,
                   half,
                   problem.positions.layout};
  scratch.frequency = arena->Take<double>(half);
  scratch.fine = arena->Take<double>(2 * std::min(count, kBlock) * half);
  return scratch;
}

void FillRope(const Problem& problem, const RopeScratch& scratch) {
  const RopeTable& table = scratch.table;
  if (!table) return;
  const double ratio =
      std::pow(problem.positions.theta, -2.0 / problem.shape.head_dim);
  double unscaled = 1;
  for (int64_t i = 0; i < table.half; ++i, unscaled *= ratio) {
    const double frequency =
        ScaledFrequency(problem.positions.scaling, unscaled);
    scratch.frequency[i] = frequency;
    for (int64_t row = 0; row < std::min(table.count, kBlock); ++row) {
      const double angle = static_cast<double>(row) * frequency;
      double* fine = scratch.fine + 2 * (row * table.half + i);
      fine[0] = row == 0 ? 1 : std::cos(angle);
      fine[1] = row == 0 ? 0 : std::sin(angle);
    }
  }
  const int64_t blocks = (table.count + kBlock - 1) / kBlock;
  ParallelFor(problem.threads, blocks, [&](int64_t block, int) {
    FillBlock(scratch, block * kBlock,
              std::min((block + 1) * kBlock, table.count));
  });
}

}  // namespace rattn
