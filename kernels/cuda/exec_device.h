// The execution policy on an NVIDIA GPU (exec.h): one PTX instruction per
// operation, sm_80 and later. Only nvcc includes this.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "kernels/bf16.h"
#include "kernels/cuda/exec.h"
#include "kernels/fp16.h"

namespace rattn::cuda {

class DeviceExec {
 public:
  RATTN_FN static int thread() { return static_cast<int>(threadIdx.x); }
  RATTN_FN static int lane() { return thread() % kWarpSize; }
  RATTN_FN static int warp() { return thread() / kWarpSize; }
  RATTN_FN static int block(int axis) {
    const unsigned index = axis == 0   ? blockIdx.x
                           : axis == 1 ? blockIdx.y
                                       : blockIdx.z;
    return static_cast<int>(index);
  }

  template <typename T>
  RATTN_FN static Shared<T> SharedAt(int byte, int count) {
    extern __shared__ __align__(128) unsigned char rattn_shared_memory[];
    return {reinterpret_cast<T*>(rattn_shared_memory + byte), count};
  }

  RATTN_FN static void Barrier() { __syncthreads(); }
  RATTN_FN static void WarpBarrier() { __syncwarp(); }

  template <typename T>
  RATTN_FN static T LoadShared(Shared<T> s, int i) {
    return s.data[i];
  }
  template <typename T>
  RATTN_FN static void StoreShared(Shared<T> s, int i, T x) {
    s.data[i] = x;
  }

  template <typename T>
  RATTN_FN static Word4 LoadMatrix4(Shared<T> s, int i) {
    Word4 out;
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(out.w[0]), "=r"(out.w[1]), "=r"(out.w[2]), "=r"(out.w[3])
        : "r"(Address(s, i)));
    return out;
  }
  template <typename T>
  RATTN_FN static Word4 LoadMatrix4Transposed(Shared<T> s, int i) {
    Word4 out;
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(out.w[0]), "=r"(out.w[1]), "=r"(out.w[2]), "=r"(out.w[3])
        : "r"(Address(s, i)));
    return out;
  }

  template <typename T>
  RATTN_FN static void Mma(const FragmentA& a, const FragmentB& b,
                           Accumulator* acc) {
    float* c = acc->c;
    if constexpr (std::is_same_v<T, Bf16>) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]),
            "r"(b.r[1]));
    } else {
      static_assert(std::is_same_v<T, Fp16>);
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]),
            "r"(b.r[1]));
    }
  }
  RATTN_FN static float ShuffleXor(float x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
  }

  template <typename T>
  RATTN_FN static T Load(const GlobalView<const T>& view, int64_t i0,
                         int64_t i1, int64_t i2, int64_t i3) {
    return *view.At(i0, i1, i2, i3);
  }
  template <typename T>
  RATTN_FN static void Store(const GlobalView<T>& view, int64_t i0, int64_t i1,
                             int64_t i2, int64_t i3, T x) {
    *view.At(i0, i1, i2, i3) = x;
  }

  template <typename T>
  RATTN_FN static void CopyAsync(Shared<T> s, int i,
                                 const GlobalView<const T>& view, int64_t i0,
                                 int64_t i1, int64_t i2, int64_t i3,
                                 bool valid) {
    // Nothing is read of a source of 0 bytes, but its address must exist.
    const T* from = valid ? view.At(i0, i1, i2, i3) : view.data;
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(Address(s, i)),
        "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
        : "memory");
  }
  RATTN_FN static void CommitCopies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  template <int kGroupsLeft>
  RATTN_FN static void WaitCopies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
  }

  RATTN_FN static float Widen(float x) { return x; }
  RATTN_FN static float Widen(Bf16 x) {
    return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
  }
  RATTN_FN static float Widen(Fp16 x) {
    return __half2float(__ushort_as_half(x.bits));
  }
  template <typename T>
  RATTN_FN static T Round(float x) {
    if constexpr (std::is_same_v<T, Bf16>) {
      return T{__bfloat16_as_ushort(__float2bfloat16_rn(x))};
    } else if constexpr (std::is_same_v<T, Fp16>) {
      return T{__half_as_ushort(__float2half_rn(x))};
    } else {
      return x;
    }
  }
  template <typename T>
  RATTN_FN static uint32_t Pack(float low, float high) {
    uint32_t out;
    if constexpr (std::is_same_v<T, Bf16>) {
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
    } else {
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
    }
    return out;
  }
  RATTN_FN static float Exp2(float x) {
    float out;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
    return out;
  }
  RATTN_FN static void SinCos(double x, double* sine, double* cosine) {
    sincos(x, sine, cosine);
  }

 private:
  template <typename T>
  RATTN_FN static uint32_t Address(Shared<T> s, int i) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(s.data + i));
  }
};

}  // namespace rattn::cuda
