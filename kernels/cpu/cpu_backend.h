// Blockwise kernels for x86-64 and 64-bit Arm (Highway, instruction set chosen
// at run time, see isa.h; OpenMP threads): every spec, fp32 and bf16, all
// phases. O(T W) work and O(T) memory; the same bits for every thread count.
#pragma once

#include "kernels/backend.h"

namespace rattn {

const Backend* CpuBackend();
// The same with the branches of a mixer always computed apart and combined
// afterwards: what fusing them is compared with.
const Backend* UnfusedCpuBackend();

}  // namespace rattn
