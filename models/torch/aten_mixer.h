// Mixers by their mask form in differentiable LibTorch operations: T x T
// matrices, any floating dtype. Slow and plain: the second opinion that the
// kernels are held to.
#pragma once

#include "models/torch/mixer.h"

namespace rattn {

// As Mix.
at::Tensor AtenMix(const MixerPlan& plan, const MixerWeights& weights,
                   const at::Tensor& qkv);

}  // namespace rattn
