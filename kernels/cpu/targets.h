// Include before any Highway header in every file of kernels/cpu: all of them
// must be compiled for the same instruction sets.
//
// x86-64: AVX-512 (AVX3), AVX2 and the baseline that Highway insists on, the
// scalar target. 64-bit Arm: NEON. SVE is left out because its vectors cannot
// be put into arrays, which register blocking needs.
#pragma once

#define HWY_DISABLED_TARGETS                                               \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | \
   HWY_SVE2_128)
