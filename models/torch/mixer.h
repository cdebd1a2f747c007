// The mixer of one layer on tensors: q, k, v straight from the projection's
// output through a kernel backend, or through plain LibTorch operations
// (aten_mixer.h), which are the tests' second opinion.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/backend.h"
#include "kernels/problem.h"
#include "models/model_config.h"
#include "models/torch/qk.h"

namespace rattn {

// Learned tensors of a mixer, fp32 (fp64); absent where the layer has none.
struct MixerWeights {
  QkWeights qk;                        // [D] each
  at::Tensor norm_local, norm_memory;  // [Hq, D]
};

struct MixerPlan {
  QkPlan qk;
  Problem problem;  // spec, heads, positions, threads; lengths per call
  const Backend* backend = nullptr;  // nullptr = plain LibTorch operations
};

// Throws UserError for combinations that no backend computes.
MixerPlan MakeMixerPlan(const ModelConfig& config, int64_t layer,
                        const Backend* backend, int threads);

// qkv [B, T, Hq + 2 Hkv, D] (q heads, k heads, v heads) to [B, T, Hq, D] of the
// same dtype. Differentiable where gradients are enabled. Throws UserError
// with the backend's reason for what it does not support.
at::Tensor Mix(const MixerPlan& plan, const MixerWeights& weights,
               const at::Tensor& qkv);

// A cache that MixExtend can use, for one sequence.
KvCache MakeCache(const MixerPlan& plan, at::ScalarType dtype);

// The same for T new tokens behind those in the cache, which is brought up to
// date. Inference only.
at::Tensor MixExtend(const MixerPlan& plan, const MixerWeights& weights,
                     const at::Tensor& qkv, KvCache& cache);

}  // namespace rattn
