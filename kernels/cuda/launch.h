// One kernel launch, whoever executes it. A kernel is a type with
//   static constexpr const char* kName;
//   static constexpr int kThreads, kBlocks;   of a block; that fit on a
//       multiprocessor at once, which bounds the registers of a thread
//   struct Params; template <class Exec> static void Body(Exec&, const Params&)
//   static constexpr bool kSm90a = true;   where it needs compute
//   capability 9.0
//       exactly; then also ForEachMap(Params&, call), of its tensor maps
// and a launcher a type with Run<Kernel>(shape, params) and gpu(), whose
// kernels a plan launches (gpu.h).
#pragma once

namespace rattn::cuda {

struct LaunchShape {
  int grid[3] = {1, 1, 1};
  int shared_bytes = 0;  // for SharedAt
};

}  // namespace rattn::cuda
