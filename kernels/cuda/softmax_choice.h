// Which kernel computes a softmax forward pass: the one list.
//   SoftmaxHopper   on compute capability 9.0, head dims up to 128, keys of a
//                   call that a tensor map can describe, where it pays
//   SoftmaxForward  everywhere else
#pragma once

#include <algorithm>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/key_tiles.h"
#include "kernels/cuda/views.h"

namespace rattn::cuda {

// What mma.sync reaches of the peak of Hopper's tensor cores, on average; wgmma
// comes close to it (arXiv 2402.13499, measured on H100).
inline constexpr double kMmaShareOnHopper = 0.629;

// By the roofline model, in rows times keys of a multiprocessor: blocks of
// kRows rows, spread over all, each with the tiles that its last one has.
template <class Kernel, class RowParams>
double SoftmaxTime(const Gpu& gpu, const RowParams& p, int64_t heads) {
  const int64_t rows = p.query_len * p.group;
  const int64_t blocks = CeilDiv(rows, Kernel::kRows) * heads;
  const int64_t first = p.key_len - CeilDiv(Kernel::kRows, p.group);
  const int64_t offset = p.key_len - p.query_len;
  const KeyTiles tiles(p.local, {std::max(first, offset), p.key_len},
                       Kernel::kKeys);
  return static_cast<double>(CeilDiv(blocks, gpu.sms)) * Kernel::kRows *
         Kernel::kKeys * tiles.count;
}

// `heads`: KV heads of all sequences. Small calls leave multiprocessors without
// a block of 128 rows, short windows fill fewer of 128 keys.
template <class Hopper, class Mma, class RowParams>
bool HopperPays(const Gpu& gpu, const RowParams& p, int64_t heads) {
  return gpu.always_newest ||
         SoftmaxTime<Hopper>(gpu, p, heads) <=
             SoftmaxTime<Mma>(gpu, p, heads) / kMmaShareOnHopper;
}

}  // namespace rattn::cuda
