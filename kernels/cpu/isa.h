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
// first: of "amx", "avx512bf16", "avx512", "avx2", "neon", "scalar". The first
// two are AVX-512 with products of bf16 tiles.
std::vector<std::string_view> AvailableIsas();

// What multiplies bf16 tiles (bf16_tiles-inl.h), in rising order: nothing,
// AVX-512 dot products of bf16 pairs, or AMX.
enum class TileUnit { kNone, kAvx512Bf16, kAmx };
// Of the instruction set that runs.
TileUnit RunningTileUnit();
inline bool TilesOn() { return RunningTileUnit() != TileUnit::kNone; }

// The instruction set whose code runs, as that code reports itself.
std::string_view CpuIsa();

// Switches the whole process to the named set, "" back to the best allowed
// one; false leaves things as they were. For tests: not to be called beside
// kernels.
bool ForceIsa(std::string_view name);

}  // namespace rattn
