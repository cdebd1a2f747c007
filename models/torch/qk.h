// From the projection's output to the q and k that the mixer's branches read:
// optional RMS norms per head, rotation ahead of a norm, and the memory
// branch's learned scales. Plain loops over rows, forward and backward; where
// tensors are not on the CPU, plain_qk.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/problem.h"

namespace rattn {

// How a layer's q and k are made. h: RMS norm over the head dim with learned
// weights [D], s: the memory branch's learned scales [D].
struct QkPlan {
  // kBefore: both branches read h(x), and the local one rotates it afterwards.
  // kLocalAfterRope: the local branch reads h(RoPE(x)), the memory x (axlearn).
  enum class Norm { kNone, kBefore, kLocalAfterRope };
  Norm norm = Norm::kNone;
  double eps = 1e-6;
  bool local = true;  // branches that exist
  bool memory = false;
  bool memory_scales = false;  // the memory's q and k are multiplied by s
  Positions positions;         // of kLocalAfterRope
  int64_t query_heads = 0;
  int64_t kv_heads = 0;
};

// Whether a rotation, a norm, a local or a memory tensor is to be computed.
bool Rotates(const QkPlan& plan);
bool Norms(const QkPlan& plan);
bool MakesLocal(const QkPlan& plan);
bool MakesMemory(const QkPlan& plan);
// Whether the two branches read different tensors.
bool BranchesDiffer(const QkPlan& plan);

// Learned weights [D], fp32 (fp64); absent where the plan needs none.
struct QkWeights {
  at::Tensor norm_q, norm_k, memory_q_scale, memory_k_scale;
};

// [B, T, Hq + Hkv, D]: q heads, then k heads; views of qkv where nothing is to
// be computed. `local` is what the only branch reads where there is one.
struct Qk {
  at::Tensor local;
  at::Tensor memory;  // only if BranchesDiffer
};

// qkv: [B, T, Hq + 2 Hkv, D] contiguous; row t stands at first_position + t.
Qk PrepareQk(const QkPlan& plan, const at::Tensor& qkv,
             const QkWeights& weights, int64_t first_position = 0);

// Turns gradients with respect to PrepareQk's outputs (contiguous) into those
// of the q and k heads in d_qkv and of the weights that are defined.
QkWeights PrepareQkBackward(const QkPlan& plan, const at::Tensor& qkv,
                            const QkWeights& weights, const Qk& d,
                            at::Tensor& d_qkv);

}  // namespace rattn
