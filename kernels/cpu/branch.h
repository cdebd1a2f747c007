// The two branches of a mixer inside the cpu backend, and the contract between
// them and the composition in cpu_backend.cc. All functions run on
// problem.threads threads, give the same bits for every thread count, allocate
// nothing, and take a workspace of at least ...ScratchBytes(problem) bytes,
// 64-byte aligned.
//
// They read shape, spec, dtype, positions, scales and tiling of the problem; of
// its phase only whether products may be rounded (bf16_softmax.h,
// bf16_linear.h). For phase kExtend the composition makes problems of its own,
// with query_len new tokens after key_len - query_len resident ones.
#pragma once

#include <cstddef>

#include "kernels/kv_cache.h"
#include "kernels/problem.h"

namespace rattn {

// Outgoing gradients of a branch: fp32, shapes of q, k, v, any strides but 1
// along the last axis. With accumulate_x the branch adds to x, otherwise it
// overwrites. dq: only the branch's own query heads are touched. dk, dv: all
// KV heads are, those that the branch does not read with zeros.
struct BranchGrads {
  TensorView dq, dk, dv;
  bool accumulate_q = false;
  bool accumulate_k = false;
  bool accumulate_v = false;
};

// ------------------------------------------------ softmax attention (local)

size_t LocalScratchBytes(const Problem& problem);

// Reads q, k, v, sink_logit. Writes the heads of LocalHeads(spec) of `out`
// ([B, Tq, Hq, Dv], fp32 or dtype p, any strides) and of the optional
// lse and max_logits (fp32 [B, Tq, Hq, 1]; -inf for the other heads).
void LocalForward(const Problem& problem, const Buffers& buffers,
                  TensorView out, TensorView lse, TensorView max_logits,
                  Workspace workspace);

// Reads q, k, v, sink_logit, lse; `out` is LocalForward's (fp32) and `d_out`
// its gradient (fp32 or dtype p). Writes `grads` and buffers.d_sink_logit.
void LocalBackward(const Problem& problem, const Buffers& buffers,
                   TensorView out, TensorView d_out, const BranchGrads& grads,
                   Workspace workspace);

// ------------------------------------------------- linear attention (memory)

// Running state of a memory, read and updated in place; absent views start
// from zero and are not kept. Shapes as KvCache::state() and key_sum().
struct MemoryState {
  TensorView state;    // fp32 [B, Hs, F, Dv], rows contiguous
  TensorView key_sum;  // fp32 [B, Hkv, F, 1], Normalizer::kSum only
  // Tokens that `state` lacks (KvCache::pending_rows), the first `waiting`.
  TensorView pending = {};
  int64_t waiting = 0;
  // Whether the state takes in all of them and the new token, or the new one
  // becomes row `waiting` of them.
  bool absorb = true;
};

// MemoryBackward is counted in phase kTrain only: it keeps states along the
// sequence, which the forward does not.
size_t MemoryScratchBytes(const Problem& problem);

// Reads q (q_memory), k (k_memory), v, initial_state. Writes the heads of
// MemoryHeads(spec) of `out`, and final_state where present; final_state may
// be the same memory as initial_state. `key_sum` (optional, as in MemoryState)
// is read as the start and overwritten with the end.
void MemoryForward(const Problem& problem, const Buffers& buffers,
                   TensorView out, TensorView key_sum, Workspace workspace);

// Reads also d_final_state; `out` and `d_out` as in LocalBackward. Writes
// `grads` and buffers.d_initial_state.
void MemoryBackward(const Problem& problem, const Buffers& buffers,
                    TensorView out, TensorView d_out, const BranchGrads& grads,
                    Workspace workspace);

// One token per sequence (query_len 1): absorbs the token `k` [B, 1, Hkv, D],
// `v` [B, 1, Hkv, Dv] (fp32 or dtype p, unrotated; absent views: nothing to
// absorb yet), then reads the state with q (q_memory) into `out`
// [B, 1, Hq, Dv]. The caller passes the evicted token, or the new one when the
// memory reads everything.
struct MemoryStepJob {
  Problem problem;
  Buffers buffers;
  TensorView k, v;
  MemoryState state;
  TensorView out;
  Workspace workspace;

  // A task is one KV head of one sequence.
  int64_t tasks() const { return problem.shape.batch * problem.shape.kv_heads; }
};
// Tasks [0, job.tasks()) in any order, on threads below problem.threads.
void RunMemoryStep(const MemoryStepJob& job, int64_t task, int thread);

}  // namespace rattn
