// CopyBox (exec.h) on the CPU: where a box of a tensor lands in shared memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/exec.h"

namespace rattn::cuda {

struct BoxCopy {
  TileMap map;
  std::array<int64_t, 4> first = {};  // element, from the innermost axis on
  int to = 0;                         // byte of shared memory

  int bytes() const {
    return map.box[0] * map.box[1] * map.box[2] * map.box[3] * 2;
  }
};

// The 128-byte swizzle: bits 4..6 of an address in shared memory are exclusive
// or with its bits 7..9.
constexpr uint32_t Swizzled128(uint32_t address) {
  return address ^ (address >> 3 & 0x70);
}

// Why the hardware would not take the copy, or nullptr.
const char* WhatIsWrong(const BoxCopy& copy);
void RunBoxCopy(const BoxCopy& copy, std::byte* shared);

}  // namespace rattn::cuda
