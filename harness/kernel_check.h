// Whether a kernel computes what its definition says, asked before it is timed.
#pragma once

#include <string>

#include "harness/kernel_call.h"
#include "models/json_fields.h"

namespace rattn {

struct KernelCheck {
  std::string scope;       // what was compared, in words
  double worst_error = 0;  // relative RMSE of the worst tensor
  std::string worst_tensor;
  double limit = 0;
  bool ok() const { return worst_error <= limit; }
};

// {reference, scope, error, worst_error, worst_tensor, limit, passed}
Json ToJson(const KernelCheck& check);

// Largest relative RMSE against fp64 that rounding in `dtype` explains.
double ErrorLimit(Dtype dtype, bool gradients);

// Runs `call`, which must be fresh, once and compares with the fp64 reference:
// everything if the case is small, else sampled query rows of one sequence; the
// gradients of a long sequence are compared on a shorter one of the same kind.
KernelCheck CheckKernel(const KernelCase& kernel, const Backend& backend,
                        const KernelInputs& inputs, KernelCall* call);

}  // namespace rattn
