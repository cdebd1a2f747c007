// One kernel launch, whoever executes it. A kernel is a type with
//   static constexpr const char* kName;
//   static constexpr int kThreads, kBlocks;   of a block; that fit on a
//       multiprocessor at once, which bounds the registers of a thread
//   struct Params; template <class Exec> static void Body(Exec&, const Params&)
// and a launcher a type with Run<Kernel>(shape, params).
#pragma once

namespace rattn::cuda {

struct LaunchShape {
  int grid[3] = {1, 1, 1};
  int shared_bytes = 0;  // for SharedAt
};

}  // namespace rattn::cuda
