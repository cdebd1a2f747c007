// Exponentials over arrays: the loops that compilers do not vectorise well.
#pragma once

#include <cstdint>

namespace rattn {

// In place: x = exp(x), x = 1 / (1 + exp(-x)). The float versions use the
// widest vectors at hand (within 2 units in the last place), those for doubles
// the standard library.
void Exps(float* x, int64_t n);
void Exps(double* x, int64_t n);
void Sigmoids(float* x, int64_t n);
void Sigmoids(double* x, int64_t n);

}  // namespace rattn
