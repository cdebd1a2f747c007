// What plans know of the GPU that a launch is for.
#pragma once

namespace rattn::cuda {

struct Gpu {
  int compute_capability = 80;  // 90 for 9.0
  int sms = 1;                  // multiprocessors
  bool always_newest = false;   // kernels for it even where they do not pay
};

}  // namespace rattn::cuda
