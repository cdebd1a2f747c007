// Calls of a backend on LibTorch's tensors where they lie: on the CPU, or on
// the backend's device, queued there on LibTorch's current stream.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/backend.h"
#include "kernels/problem.h"

namespace rattn {

class TensorCalls {
 public:
  // For tensors on `device`. Throws c10::ValueError where the backend does not
  // run there.
  TensorCalls(const Backend& backend, at::Device device);

  // As Backend's; `buffers` are views of tensors on the device. Throws
  // c10::Error with what the device says.
  void Forward(const Problem& problem, const Buffers& buffers) const;
  void Backward(const Problem& problem, const Buffers& buffers) const;
  void Extend(const Problem& problem, const Buffers& buffers,
              KvCache& cache) const;

 private:
  template <typename Call>
  void Queue(const Problem& problem, const Call& call) const;

  const Backend& backend_;
  at::Device device_;
};

}  // namespace rattn
