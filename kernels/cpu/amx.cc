#include "kernels/cpu/amx.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace rattn {
namespace {

struct CpuidBits {
  bool amx_bf16 = false, avx512_bf16 = false;
};

CpuidBits ReadCpuid() {
  CpuidBits bits;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    bits.amx_bf16 = (d >> 22 & 1) != 0 && (d >> 24 & 1) != 0;
  }
  if (__builtin_cpu_supports("avx512f") &&
      __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    bits.avx512_bf16 = (a >> 5 & 1) != 0;
  }
  return bits;
}

// Linux hands out the tile registers on request, once per process.
bool RequestTiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t columns[16] = {};  // bytes
  uint8_t rows[16] = {};
};

}  // namespace

bool HasAmx() {
  static const bool has =
      ReadCpuid().amx_bf16 && HasAvx512Bf16() && RequestTiles();
  return has;
}

bool HasAvx512Bf16() {
  static const bool has = ReadCpuid().avx512_bf16;
  return has;
}

// Plain instructions: intrinsics would ask for a target of their own.
AmxTiles::AmxTiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.columns[tile] = 64;
    config.rows[tile] = 16;
  }
  asm volatile("ldtilecfg %0" ::"m"(config));
}

AmxTiles::~AmxTiles() { asm volatile("tilerelease"); }

}  // namespace rattn

#else

namespace rattn {

bool HasAmx() { return false; }
bool HasAvx512Bf16() { return false; }
AmxTiles::AmxTiles() = default;
AmxTiles::~AmxTiles() = default;

}  // namespace rattn

#endif
