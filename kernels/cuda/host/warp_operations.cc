#include "kernels/cuda/host/warp_operations.h"

#include <cstring>

namespace rattn::cuda::host {
namespace {

// Element `half` (0 low, 1 high) of a register of two.
template <typename T>
float HalfOf(uint32_t word, int half) {
  return Widened(T{static_cast<uint16_t>(word >> (16 * half))});
}

}  // namespace

template <typename T>
void ToFloats(const std::byte* from, int count, float* to) {
  for (int i = 0; i < count; ++i) {
    T element;
    std::memcpy(&element.bits, from + 2 * i, sizeof(element.bits));
    to[i] = Widened(element);
  }
}
template void ToFloats<Bf16>(const std::byte*, int, float*);
template void ToFloats<Fp16>(const std::byte*, int, float*);

template <typename T>
void MmaOfWarp(void* const* arguments) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const auto& in = *static_cast<const MmaArguments*>(arguments[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < 4; ++r) {
        a[g + 8 * (r % 2)][2 * t + 8 * (r / 2) + half] =
            HalfOf<T>(in.a.r[r], half);
      }
      for (int r = 0; r < 2; ++r) {
        b[2 * t + 8 * r + half][g] = HalfOf<T>(in.b.r[r], half);
      }
    }
  }
  float sum[16][8] = {};
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) sum[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int lane = 0; lane < kWarpSize; ++lane) {
    Accumulator& c = *static_cast<const MmaArguments*>(arguments[lane])->c;
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) c.c[r] += sum[g + 8 * (r / 2)][2 * t + r % 2];
  }
}
template void MmaOfWarp<Bf16>(void* const*);
template void MmaOfWarp<Fp16>(void* const*);

template <bool kTransposed>
void LoadMatrixOfWarp(void* const* arguments) {
  const auto at = [&](int m, int row, int column) -> uint32_t {
    const auto* lane =
        static_cast<const LoadMatrixArguments*>(arguments[m * 8 + row]);
    return lane->row == nullptr ? 0xffffu : lane->row[column];
  };
  for (int lane = 0; lane < kWarpSize; ++lane) {
    Word4& out = *static_cast<const LoadMatrixArguments*>(arguments[lane])->out;
    const int g = lane / 4, t = lane % 4;
    for (int m = 0; m < 4; ++m) {
      const uint32_t low = kTransposed ? at(m, 2 * t, g) : at(m, g, 2 * t);
      const uint32_t high =
          kTransposed ? at(m, 2 * t + 1, g) : at(m, g, 2 * t + 1);
      out.w[m] = low | high << 16;
    }
  }
}
template void LoadMatrixOfWarp<false>(void* const*);
template void LoadMatrixOfWarp<true>(void* const*);

void ShuffleXorOfWarp(void* const* arguments) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    auto* a = static_cast<ShuffleArguments*>(arguments[lane]);
    a->out =
        static_cast<const ShuffleArguments*>(arguments[lane ^ a->mask])->in;
  }
}

}  // namespace rattn::cuda::host
