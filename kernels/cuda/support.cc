#include "kernels/cuda/support.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/backend.h"
#include "kernels/cuda/backward_plan.h"
#include "kernels/cuda/extend_plan.h"
#include "kernels/cuda/forward_plan.h"
#include "kernels/window.h"

namespace rattn::cuda {
namespace {

constexpr int64_t kMaxGrid = 65535;  // blocks along y and z

// Tensors of the right shapes without memory, for plans that only count.
Buffers ShapesOnly(const Problem& p) {
  const Shape& s = p.shape;
  Buffers b;
  b.q.shape = {s.batch, s.query_len, s.query_heads, s.head_dim};
  b.k.shape = {s.batch, s.key_len, s.kv_heads, s.head_dim};
  b.v.shape = {s.batch, s.key_len, s.kv_heads, s.value_dim};
  b.q_memory.shape = b.q.shape;
  b.k_memory.shape = b.k.shape;
  return b;
}

}  // namespace

Support CudaSupports(const Problem& problem) {
  if (Support support = CheckProblem(problem); !support.ok()) return support;
  const Shape& s = problem.shape;
  if (problem.dtype != Dtype::kBF16 && problem.dtype != Dtype::kF16) {
    return {"the CUDA kernels compute bf16 and fp16"};
  }
  if (std::max(s.head_dim, s.value_dim) > kMaxHeadDim) {
    return {fmt::format("the CUDA kernels go up to head dim {}, got {}",
                        kMaxHeadDim, std::max(s.head_dim, s.value_dim))};
  }
  if (problem.local_scale < 0) {
    return {"the CUDA kernels need a positive local_scale"};
  }
  if (Support support = RefuseSoftcap(problem); !support.ok()) return support;
  constexpr int64_t kMost = std::numeric_limits<int>::max() / 2;
  const int64_t sequences = SequenceCount(problem);
  if (StateHeads(problem) > kMaxGrid || sequences > kMaxGrid ||
      (!problem.cu_seqlens.empty() &&
       SinkCount(problem.spec.local) > kMost / sequences) ||
      s.key_len * kMaxHeadDim > kMost || s.query_len * GroupSize(s) > kMost) {
    return {"the CUDA kernels count tokens, heads and sequences in 32 bits"};
  }
  if (HasMemory(problem.spec) && ValueColumns(problem) > kMaxHeadDim) {
    return {fmt::format(
        "the CUDA kernels with normalizer 'sum' go up to value dim {}, got {}",
        kMaxHeadDim - 8, s.value_dim)};
  }
  return {};
}

size_t CudaBackwardBytes(const Problem& problem) {
  NoLauncher nothing;
  return BytesOf([&](Arena* arena) {
    BackwardPlan<Bf16, NoLauncher>::Run(problem, ShapesOnly(problem), arena,
                                        &nothing);
  });
}

size_t CudaForwardBytes(const Problem& problem) {
  NoLauncher nothing;
  return BytesOf([&](Arena* arena) {
    ForwardPlan<Bf16, NoLauncher>::Run(problem, ShapesOnly(problem), arena,
                                       &nothing);
  });
}

size_t CudaExtendBytes(const Problem& problem) {
  NoLauncher nothing;
  return BytesOf([&](Arena* arena) {
    ExtendPlan<Bf16, NoLauncher>::Run(problem, ShapesOnly(problem),
                                      LargestCache(problem), arena, &nothing);
  });
}

size_t CudaWorkspaceBytes(const Problem& problem) {
  if (problem.phase == Phase::kExtend || problem.phase == Phase::kDecode) {
    return CudaExtendBytes(problem);
  }
  const size_t forward = CudaForwardBytes(problem);
  if (problem.phase != Phase::kTrain) return forward;
  return std::max(forward, CudaBackwardBytes(problem));
}

}  // namespace rattn::cuda
