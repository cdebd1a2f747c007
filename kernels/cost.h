// Analytic costs of a mixer, derived from kernels/window.h and checked against
// brute-force counting in cost_test.cc. FLOPs are matrix-multiply FLOPs (2 per
// multiply-add); exponentials are counted apart.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

struct Cost {
  double useful_flops = 0;    // pairs that the definition asks for
  double executed_flops = 0;  // with partial tiles and in-chunk work
  double exps = 0;
  double bytes = 0;  // least bytes moved: inputs, outputs, cache, state
};

// Cost of one call. `context` is the number of cached tokens before the call
// (kExtend, kDecode). Backward counts the backward pass alone, with the score
// recomputation (2.5x the forward for softmax attention).
Cost ForwardCost(const Problem& problem, int64_t context = 0);
Cost BackwardCost(const Problem& problem);

// Bytes of one layer's cache after `tokens` tokens: keys and values, states
// with the tokens that may wait for them.
struct CacheBytes {
  int64_t kv = 0;
  int64_t state = 0;
};
CacheBytes LayerCacheBytes(const Problem& problem, int64_t tokens);

}  // namespace rattn
