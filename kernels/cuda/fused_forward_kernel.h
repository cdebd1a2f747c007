// Both branches of a mixer and their combination in one launch: a block reads
// its query rows' window, then their memory, and writes their output once.
// What the branches would leave in fp32 for a combination (4 times the bytes of
// o, written and read) stays in registers.
#pragma once

#include <cmath>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/linear_read_kernel.h"
#include "kernels/cuda/softmax_forward_kernel.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T_, int kFeatures_, int kDim_>
struct FusedForward {
  using T = T_;
  static constexpr const char* kName = "fused_forward";
  static constexpr int kDim = kDim_;
  using Local = SoftmaxForward<T, kDim, KeySource::kGiven>;
  using Memory = LinearRead<T, kFeatures_, kDim, LinearRows::kQueries>;
  static constexpr int kThreads = Local::kThreads, kRows = Local::kRows;
  static constexpr int kBlocks = 2;
  static_assert(Memory::kThreads == kThreads && Memory::kRows == kRows);
  static constexpr int kSharedBytes = Local::kSharedBytes > Memory::kSharedBytes
                                          ? Local::kSharedBytes
                                          : Memory::kSharedBytes;

  struct Params {
    // One state per KV head, all query heads; o absent, o_wide where kept.
    typename Local::Params local;
    typename Memory::Params memory;
    GlobalView<const float> norm_local, norm_memory;  // optional [1, 1, Hq, Dv]
    GlobalView<T> o;                                  // [B, Tq, Hq, Dv]
    bool norms = false;
    float weight = 1;  // of every branch
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const auto& l = p.local;
    const QueryRows of_local =
        Local::RowsOf(x, l, Local::SequenceOfBlock(x, l));
    if (of_local.first >= of_local.count) return;
    typename Local::template Pass<Exec> local(x, l, of_local);
    local.Run();
    local.Finish();
    // The memory's tiles take the place of the window's.
    x.Barrier();
    // The same rows, found again: registers are for the sums above.
    typename Memory::template Pass<Exec> memory(x, p.memory,
                                                Local::SequenceOfBlock(x, l));
    memory.Run();
    memory.Finish();
    const QueryRows& rows = memory.rows();
    RATTN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float local_factor = Factor(x, p, local, half);
      const float memory_factor = Factor(x, p, memory, half);
      const int row = x.warp() * 16 + AccumulatorRow(x.lane(), half);
      const int64_t at = rows.first + row;
      if (at >= rows.count) continue;
      const int64_t token = rows.Token(at), head = rows.Head(at);
      RATTN_UNROLL
      for (int i = 0; i < kDim / 4; ++i) {
        const int n = i / 2, element = 2 * half + i % 2;
        const int c = 8 * n + AccumulatorColumn(x.lane()) + i % 2;
        if (c >= l.value_dim) continue;
        const float sum = Term(x, p.norm_local, head, c,
                               local.Value(n, element) * local_factor) +
                          Term(x, p.norm_memory, head, c,
                               memory.Value(n, element) * memory_factor);
        x.Store(p.o, x.block(2), token, head, c, x.template Round<T>(sum));
      }
    }
  }

 private:
  // Of a branch's row: its weight, over its RMS where rows are normed. Columns
  // behind Dv are zeros.
  template <class Exec, class Pass>
  RATTN_FN static float Factor(Exec& x, const Params& p, const Pass& branch,
                               int half) {
    if (!p.norms) return p.weight;
    float squares = 0;
    RATTN_UNROLL
    for (int i = 0; i < kDim / 4; ++i) {
      const float value = branch.Value(i / 2, 2 * half + i % 2);
      squares += value * value;
    }
    const float mean =
        SumOfRow(x, squares) / static_cast<float>(p.local.value_dim);
    return p.weight / sqrtf(mean + static_cast<float>(kNormEpsilon));
  }

  template <class Exec>
  RATTN_FN static float Term(Exec& x, const GlobalView<const float>& norm,
                             int64_t head, int c, float value) {
    return norm ? value * x.Load(norm, 0, 0, head, c) : value;
  }
};

}  // namespace rattn::cuda
