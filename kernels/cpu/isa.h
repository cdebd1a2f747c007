// Which instruction set the cpu backend runs on: the best one that the
// processor has, or a lower one named in the environment variable RATTN_ISA.
#pragma once

#include <string_view>
#include <vector>

#include "kernels/problem.h"

namespace rattn {

// Whether RATTN_ISA (read once per process) could be honoured: its reason
// names the value and those that this processor and build accept. An unusable
// value changes nothing.
Support IsaSupport();

// Names that this processor and build can run and RATTN_ISA allows, the best
// first: of "amx", "avx512", "avx2", "neon", "scalar". "amx" is AVX-512 with
// bf16 products on tiles.
std::vector<std::string_view> AvailableIsas();
// Whether the running one is "amx".
bool TilesOn();

// The instruction set whose code runs, as that code reports itself.
std::string_view CpuIsa();

// Switches the whole process to the named set, "" back to the best allowed
// one; false leaves things as they were. For tests: not to be called beside
// kernels.
bool ForceIsa(std::string_view name);

}  // namespace rattn
