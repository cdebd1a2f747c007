#include "kernels/cpu/bf16_peak.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/cpu/amx.h"

namespace rattn {
namespace {

constexpr int kRounds = 2048;

// Four accumulators of 16 x 16, products over 32: 2 * 16 * 16 * 32 FLOPs each.
__attribute__((target("amx-tile,amx-bf16"))) double AmxProducts(float* sum) {
  const AmxTiles tiles;
  alignas(64) uint16_t ones[16 * 32];
  for (uint16_t& one : ones) one = 0x3f80;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, ones, 64);
  _tile_loadd(5, ones, 64);
  _tile_loadd(6, ones, 64);
  _tile_loadd(7, ones, 64);
  for (int i = 0; i < kRounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  alignas(64) float out[16 * 16];
  _tile_stored(0, out, 64);
  *sum += out[0];
  return 4.0 * kRounds * 2 * 16 * 16 * 32;
}

// Blocks of 2 x 2 tiles over a depth of four, as the kernels walk.
__attribute__((target("amx-tile,amx-bf16"))) double FedAmxProducts(float* sum) {
  constexpr int kDepth = 4, kTile = 16 * 32;
  const AmxTiles tiles;
  alignas(64) uint16_t ones[4 * kDepth * kTile];
  for (uint16_t& one : ones) one = 0x3f80;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int i = 0; i < kRounds; ++i) {
    const uint16_t* at = ones + i % kDepth * 4 * kTile;
    _tile_loadd(4, at, 64);
    _tile_loadd(6, at + kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, at + 2 * kTile, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, at + 3 * kTile, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  alignas(64) float out[16 * 16];
  _tile_stored(0, out, 64);
  *sum += out[0];
  return 4.0 * kRounds * 2 * 16 * 16 * 32;
}

__attribute__((target("avx512f,avx512bf16"))) double Avx512Products(
    float* sum) {
  __m512bh x;
  std::memset(&x, 0x3f, sizeof(x));
  // Different starts: compilers would compute equal chains once.
  __m512 acc[16];
  for (int i = 0; i < 16; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (__m512& a : acc) a = _mm512_dpbf16_ps(a, x, x);
  }
  for (const __m512& a : acc) {
    alignas(64) float lanes[16];
    _mm512_store_ps(lanes, a);
    *sum += lanes[0];
  }
  return 16.0 * kRounds * 2 * 32;
}

}  // namespace

bool HasBf16Products() { return HasAmx() || HasAvx512Bf16(); }

double Bf16Products(float* sum) {
  return HasAmx() ? AmxProducts(sum) : Avx512Products(sum);
}

double FedBf16Products(float* sum) {
  return HasAmx() ? FedAmxProducts(sum) : Avx512Products(sum);
}

}  // namespace rattn

#else

namespace rattn {

bool HasBf16Products() { return false; }
double Bf16Products(float*) { return 0; }
double FedBf16Products(float*) { return 0; }

}  // namespace rattn

#endif
