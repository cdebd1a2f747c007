// Passes of the softmax branch (kernels/cpu/branch.h) on prepared inputs:
// keys rotated, rows of the past in a cache or in a view. O(T W) work and O(T)
// memory: blocks of queries meet only the key tiles that they see.
#pragma once

#include "kernels/cpu/branch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/softmax_plan.h"

namespace rattn {

// Optional outputs are absent views.
struct LocalOutputs {
  TensorView out, lse, max_logits;
};

// Online softmax (Milakov and Gimelshein, arXiv 1805.02867; blocks as in
// FlashAttention, arXiv 2205.14135).
size_t SoftmaxForwardBytes(const Problem& problem);
void SoftmaxForward(const LocalInputs& inputs, const LocalOutputs& outputs,
                    Workspace workspace);

// P is recomputed from lse. dK and dV: parallel over key blocks with all heads
// of a group inside; dQ: over query blocks; no atomics.
size_t SoftmaxBackwardBytes(const Problem& problem);
void SoftmaxBackward(const LocalInputs& inputs, const Buffers& buffers,
                     const TensorView& out, const TensorView& d_out,
                     const BranchGrads& grads, Workspace workspace);

// One query per sequence on a cache; every key row is read once for all heads
// of its group. A task is a part of the window of one KV head of one sequence;
// how long a part is does not depend on the threads.
struct DecodeJob {
  LocalInputs in;
  LocalOutputs out;
  LocalPlan plan;
  int64_t heads = 0;      // KV heads of all sequences
  int64_t parts = 1;      // of a window
  int64_t part_keys = 0;  // keys of a part
  float* partials = nullptr;
  std::byte* scratch = nullptr;  // of all threads

  int64_t tasks() const { return heads * parts; }
};
size_t SoftmaxDecodeBytes(const Problem& problem);
DecodeJob MakeDecode(const LocalInputs& inputs, const LocalOutputs& outputs,
                     Workspace workspace);
// Tasks [0, job.tasks()) in any order, on threads below problem.threads.
void RunDecode(const DecodeJob& job, int64_t task, int thread);
// After all tasks.
void FinishDecode(const DecodeJob& job);

// Rows of `in` [B, T, H, D] turned by the table's rows for the positions
// table.begin + t (back again with sign -1) into `out`, fp32 with unit stride
// along D.
void RotateRows(const Problem& problem, const TensorView& in,
                const RopeTable& table, float sign, const TensorView& out);

// Everything LocalForward and LocalBackward need before their passes.
struct PreparedLocal {
  LocalInputs inputs;
  RopeScratch rope, sink_rope;
};
// buffers.k and v hold the positions from `key_begin` on, the last query_len
// of them are those of the queries. Takes the tables and the rotated keys.
PreparedLocal TakeLocal(const Problem& problem, const Buffers& buffers,
                        int64_t key_begin, Arena* arena);
void FillLocal(const Problem& problem, const Buffers& buffers,
               const PreparedLocal& prepared);

}  // namespace rattn
