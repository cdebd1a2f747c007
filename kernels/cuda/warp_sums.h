// Reductions that leave their result in every lane of a warp.
#pragma once

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

template <class Exec>
RATTN_FN float SumOfWarp(Exec& x, float sum) {
  for (int mask = 16; mask > 0; mask /= 2) sum += x.ShuffleXor(sum, mask);
  return sum;
}

template <class Exec>
RATTN_FN float MaxOfWarp(Exec& x, float top) {
  for (int mask = 16; mask > 0; mask /= 2) {
    const float other = x.ShuffleXor(top, mask);
    top = other > top ? other : top;
  }
  return top;
}

}  // namespace rattn::cuda
