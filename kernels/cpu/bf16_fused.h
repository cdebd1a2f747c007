// Both branches of a mixer in one pass on bf16 tiles: for the queries of a
// memory chunk the softmax rows are computed, wait in the L2 cache, and are
// normed and added where the memory's rows leave their tiles. Branch outputs
// reach memory only where a backward needs them kept.
#pragma once

#include "kernels/problem.h"

namespace rattn {

struct LocalInputs;  // softmax_plan.h

// Whether the forward can run here: both branches on tiles, each with all
// heads, and one state per KV head.
bool UsesBf16Fused(const Problem& problem);

size_t Bf16FusedBytes(const Problem& problem);

// Writes buffers.o and, where present, o_local, o_memory, lse, max_logits and
// final_state.
void Bf16FusedForward(const LocalInputs& inputs, const Buffers& buffers,
                      Workspace workspace);

}  // namespace rattn
