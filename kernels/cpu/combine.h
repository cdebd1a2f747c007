// Combination of the two branch outputs in the cpu backend: sum, or RMS norms
// per head with a scale [Hq, Dv] each (paper, section 3, "GroupRMSNorm"; eps
// 1e-8, a zero row stays zero), their sum, their mean, or heads split between
// the branches. Sums are the same bits for every thread count.
#pragma once

#include <cstddef>

#include "kernels/problem.h"

namespace rattn {

// `local`, `memory` [B, Tq, Hq, Dv], fp32 or dtype p, any strides; only heads
// of LocalHeads and MemoryHeads are read. Writes buffers.o.
void CombineForward(const Problem& problem, const Buffers& buffers,
                    const TensorView& local, const TensorView& memory);

// Of every branch in the sum of norms or their mean.
inline float BranchWeight(Combine combine) {
  return combine == Combine::kMeanOfNorms ? 0.5f : 1.f;
}

size_t CombineScratchBytes(const Problem& problem);

// From buffers.d_o and the branch outputs: writes the same heads of d_local
// and d_memory (fp32), and all of buffers.d_norm_local and d_norm_memory where
// present. For combinations with norms; the others pass d_o on as it is.
void CombineBackward(const Problem& problem, const Buffers& buffers,
                     const TensorView& local, const TensorView& memory,
                     const TensorView& d_local, const TensorView& d_memory,
                     Workspace workspace);

}  // namespace rattn
