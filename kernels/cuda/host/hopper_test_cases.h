// Tests only: problems that reach every edge of the kernels for compute
// capability 9.0.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/cuda/host/cuda_test_cases.h"
#include "kernels/cuda/launch_work.h"

namespace rattn::cuda {

// More tiles of 128 keys than stages, blocks that end inside a tile, sinks with
// queries of their own, head dims that are copied as they lie.
inline std::vector<Case> HopperCases() {
  return {
      {.name = "every stage used again",
       .shape = MakeShape(1, 1, 1, 643, 643, 64, 64),
       .window = 300,
       .options = {.sink_logit = true}},
      {.name = "head dim 128, groups of four, batch",
       .shape = MakeShape(2, 4, 1, 75, 203, 128, 128),
       .window = 129,
       .edit = cpu_test::HalfSplitRope},
      {.name = "sinks beyond a tile, odd group",
       .shape = MakeShape(1, 3, 1, 301, 301, 128, 64),
       .window = 65,
       .edit =
           [](Problem& p) {
             cpu_test::HalfSplitRope(p);
             if (p.spec.local.kind == LocalKind::kWindowSinks) {
               p.spec.local.sinks = 150;
             }
           }},
  };
}

inline bool RunsOnHopper(const Problem& problem) {
  const auto launches = CudaLaunches(problem, kHopper, /*most_blocks=*/1);
  return std::any_of(launches.begin(), launches.end(),
                     [](const PlannedLaunch& launch) {
                       return launch.kernel.starts_with("SoftmaxHopper");
                     });
}

// One of `thin` of those problems of `cases` that a kernel for 9.0 computes.
inline void ForEachHopperProblem(const std::vector<Case>& cases, int thin) {
  int count = 0;
  ForEachCudaProblem(cases, 1,
                     [&](const Problem& p, const TestOptions& options) {
                       if (!RunsOnHopper(p) || count++ % thin != 0) return;
                       CheckedRun run(p, options, nullptr, kHopper);
                       CheckForwardOutputs(&run);
                     });
  EXPECT_GT(count, 0);
}

}  // namespace rattn::cuda
