#include "kernels/cpu/useful_threads.h"

#include <algorithm>

#include "kernels/window.h"

namespace rattn {

int UsefulThreads(const Problem& problem, int64_t context) {
  constexpr double kProductsPerThread = 5e5;
  const Shape& s = problem.shape;
  const double keys = static_cast<double>(
      std::min(LocalWindow(problem.spec.local) + SinkCount(problem.spec.local),
               context + s.key_len));
  double products = 0;
  if (HasLocal(problem.spec)) products += keys;
  if (HasMemory(problem.spec)) {
    products += static_cast<double>(FeatureDim(problem));
  }
  products *= static_cast<double>(s.head_dim + s.value_dim) *
              static_cast<double>(s.batch) * static_cast<double>(s.query_len) *
              static_cast<double>(s.query_heads);
  return static_cast<int>(std::clamp(products / kProductsPerThread, 1.0,
                                     static_cast<double>(problem.threads)));
}

}  // namespace rattn
