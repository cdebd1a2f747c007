// The baseline: what someone who does not write kernels calls from C++, the
// CPU flash kernel behind LibTorch's scaled_dot_product_attention, with its
// causal flag for full attention and a dense additive mask for windows, hence
// O(T^2) work whatever the window is (variants.md, section 5.1).
//
// Unlike other backends it allocates in its calls, because LibTorch does, and
// a failure inside LibTorch (out of memory) throws c10::Error.
#pragma once

#include "kernels/backend.h"

namespace rattn {

const Backend* TorchBackend();

}  // namespace rattn
