// One kernel call: what to compute (Problem), on which tensors (Buffers), with
// which scratch memory (Workspace).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "kernels/mixer_spec.h"
#include "kernels/rope_scaling.h"
#include "kernels/tensor_view.h"

namespace rattn {

// kForward: prefill without a cache. kTrain: forward that keeps what Backward
// needs. kExtend: new tokens on a cache. kDecode: one token per sequence on a
// cache.
enum class Phase { kForward, kTrain, kExtend, kDecode };

struct Shape {
  int64_t batch = 1;
  int64_t query_heads = 1;
  int64_t kv_heads = 1;  // divides query_heads; head h reads h/(Hq/Hkv)
  // Query i stands at position i + key_len - query_len (bottom-right aligned).
  // In kExtend and kDecode both are the number of new tokens.
  int64_t query_len = 1;
  int64_t key_len = 1;
  int64_t head_dim = 8;   // D, of q and k; multiple of 8
  int64_t value_dim = 8;  // of v and o; multiple of 8
};

// kHalfSplit rotates pairs (i, i + D/2) (Llama), kInterleaved pairs
// (2i, 2i + 1) (axlearn). Angles are computed in fp64.
enum class RopeLayout { kHalfSplit, kInterleaved };

// Rotary positions of the local branch; the memory branch always reads q and k
// as given (paper, section 3: RLA has no positions and no 1/sqrt(D)).
struct Positions {
  bool rope = false;
  double theta = 1e4;
  RopeLayout layout = RopeLayout::kHalfSplit;
  RopeScaling scaling{};
};

struct Tiling {
  int64_t chunk = 0;        // tokens of a linear-attention chunk; 0 = backend
  int64_t state_every = 0;  // m: a state is kept every m chunks; 0 = backend
  // Decode: a cached state takes in tokens so many at a time, until then they
  // are read one by one; 1 = each at its own step, 0 = default.
  int64_t absorb_every = 0;
};

struct Problem {
  MixerSpec spec;
  Phase phase = Phase::kForward;
  Shape shape;
  Dtype dtype = Dtype::kF32;
  Positions positions;
  double local_scale = 0;  // 0 = 1/sqrt(head_dim)
  // c > 0: scaled scores s become c tanh(s / c) (Gemma 2); the sink logit stays
  // as it is. Backends reference and cpu.
  double local_softcap = 0;
  double memory_scale = 1;  // multiplies phi(q), in the normalizer as well
  Tiling tiling;
  // n + 1 offsets of a pack: several sequences behind one another along the
  // token axis, as FlashAttention's varlen functions take them. Sequence i has
  // the tokens [cu_seqlens[i], cu_seqlens[i + 1]), none if they are equal, and
  // is computed as if it were alone: positions, windows, sinks and states begin
  // at its first token. The first is 0, the last query_len = key_len, batch is
  // 1; kForward and kTrain only. Empty: no pack. Memory of the host, also for
  // backends on a device, and only read during calls.
  std::span<const int64_t> cu_seqlens;
  // initial_state and final_state have query_heads heads, not kv_heads: a
  // start state learned per query head (axlearn). Costs group-size times more.
  bool state_per_query_head = false;
  int threads = 1;
};

inline int64_t FeatureDim(const Problem& p) {
  return FeatureDim(p.spec.memory.feature_map, p.shape.head_dim);
}
inline int64_t StateHeads(const Problem& p) {
  return p.state_per_query_head ? p.shape.query_heads : p.shape.kv_heads;
}
// Sequences of a call: axis 0 of states.
inline int64_t SequenceCount(const Problem& p) {
  return p.cu_seqlens.empty() ? p.shape.batch
                              : static_cast<int64_t>(p.cu_seqlens.size()) - 1;
}
int64_t AbsorbEvery(const Problem& p);  // with the default; in kv_cache.cc
// A token that waits for its absorption, as kept: phi(k), then v.
inline int64_t PendingDim(const Problem& p) {
  return FeatureDim(p) + p.shape.value_dim;
}
inline int64_t GroupSize(const Shape& s) { return s.query_heads / s.kv_heads; }

// Tensors of a call. B batch, Tq/Tk query_len/key_len, Hq/Hkv heads, D
// head_dim, Dv value_dim, F features, Hs = StateHeads, N = SequenceCount.
// Marked dtype p: the problem's; others are always fp32 (fp64 when the problem
// is fp64). Absent optional inputs mean zero states, unit norm scales, no sink
// logit; absent outputs are not computed.
struct Buffers {
  // Inputs, dtype p.
  TensorView q;         // [B, Tq, Hq, D]
  TensorView k;         // [B, Tk, Hkv, D]
  TensorView v;         // [B, Tk, Hkv, Dv]
  TensorView q_memory;  // optional [B, Tq, Hq, D]: the memory branch's q, k
  TensorView k_memory;  // optional [B, Tk, Hkv, D]  where they differ
  // Inputs, fp32.
  TensorView norm_local;     // optional [1, 1, Hq, Dv]
  TensorView norm_memory;    // optional [1, 1, Hq, Dv]
  TensorView sink_logit;     // optional [1, 1, 1, Hq]: in the denominator only
  TensorView initial_state;  // optional [N, Hs, F, Dv]

  // Outputs of Forward.
  TensorView o;  // dtype p [B, Tq, Hq, Dv]
  // What o of the last query read from the memory: initial_state plus the
  // tokens 0..Tk-1-MemoryDelay. fp32 [N, Hs, F, Dv].
  TensorView final_state;
  TensorView max_logits;  // fp32 [B, Tq, Hq, 1]: row maximum of scaled scores

  // Kept by Forward in phase kTrain, read by Backward; fp32, contiguous.
  TensorView lse;       // [B, Tq, Hq, 1], with a local branch
  TensorView o_local;   // [B, Tq, Hq, Dv], before its norm
  TensorView o_memory;  // [B, Tq, Hq, Dv], before its norm

  // Backward: incoming gradients.
  TensorView d_o;            // dtype p, shape of o
  TensorView d_final_state;  // optional fp32
  // Backward: outgoing gradients, overwritten, shapes of their inputs. dq, dk,
  // dv dtype p; with q_memory present the memory branch's go to dq_memory and
  // dk_memory. Those of norms and sink logits sum over all sequences.
  TensorView dq, dk, dv, dq_memory, dk_memory;
  TensorView d_norm_local, d_norm_memory, d_sink_logit, d_initial_state;
};

// Scratch memory, 64-byte aligned; the size comes from Backend::WorkspaceBytes.
struct Workspace {
  void* data = nullptr;
  size_t bytes = 0;
};

// Yes, or the reason why not in words for a user.
struct Support {
  std::string reason;  // empty = supported
  bool ok() const { return reason.empty(); }
};

}  // namespace rattn
