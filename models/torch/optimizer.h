// AdamW (arXiv 1711.05101) over flat buffers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/runtime.h"

namespace rattn {

// Learning rate of step `step` (0-based): linear warm-up, then a cosine from
// lr to lr * lr_end at the last step.
double LearningRate(const TrainOptions& options, int64_t step);

class AdamW {
 public:
  // The first `decayed_elements` of the buffers get weight decay.
  AdamW(const TrainOptions& options, int64_t decayed_elements,
        int64_t total_elements, at::Device device);

  // Clips the gradients to options.clip (global norm; 0 = never) and updates
  // the parameters; `step` is 0-based. Returns the norm before clipping.
  double Step(int64_t step, at::Tensor& parameters, at::Tensor& gradients);

  // Moving averages of the gradients and of their squares, [total_elements].
  at::Tensor& first_moment() { return first_; }
  at::Tensor& second_moment() { return second_; }

 private:
  TrainOptions options_;
  int64_t decayed_;
  at::Tensor first_, second_;
};

}  // namespace rattn
