// The cpu backend on a pack (Problem::cu_seqlens): a call of `backend` per
// sequence, short ones side by side on a thread each, the others one after
// another on all threads. Sums over sequences are added in their order, so that
// results do not depend on the threads.
#pragma once

#include <cstddef>

#include "kernels/backend.h"

namespace rattn {

// Scratch of both passes in the pack's phase.
size_t PackBytes(const Backend& backend, const Problem& pack);
void ForwardPack(const Backend& backend, const Problem& pack,
                 const Buffers& buffers, Workspace workspace);
void BackwardPack(const Backend& backend, const Problem& pack,
                  const Buffers& buffers, Workspace workspace);

}  // namespace rattn
