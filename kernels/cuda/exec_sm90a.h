// The execution policy on compute capability 9.0 (exec.h): what sm_90a adds to
// DeviceExec, one PTX instruction per operation. Only nvcc includes this.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/exec_device.h"

namespace rattn::cuda {

class Sm90aExec : public DeviceExec {
 public:
  // Aligned to the swizzle, which repeats after 1024 bytes.
  template <typename T>
  RATTN_FN static Shared<T> SharedAt(int byte, int count) {
    extern __shared__ __align__(1024) unsigned char rattn_swizzled_memory[];
    return {reinterpret_cast<T*>(rattn_swizzled_memory + byte), count};
  }
  template <typename T>
  RATTN_FN static uint32_t SharedAddress(Shared<T> s, int i) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(s.data + i));
  }

  RATTN_FN static void NamedBarrier(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
  }
  RATTN_FN static void InitPhases(Shared<uint64_t> s, int i, int arrivals) {
    asm volatile(
        "mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(s, i)),
        "r"(arrivals)
        : "memory");
  }
  RATTN_FN static void Arrive(Shared<uint64_t> s, int i) {
    asm volatile(
        "mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(s, i))
        : "memory");
  }
  RATTN_FN static void ArriveExpecting(Shared<uint64_t> s, int i, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     SharedAddress(s, i)),
                 "r"(bytes)
                 : "memory");
  }
  RATTN_FN static void WaitPhase(Shared<uint64_t> s, int i, int parity) {
    uint32_t done;
    do {  // the hardware lets a thread sleep for a while
      asm volatile(
          "{\n"
          ".reg .pred complete;\n"
          "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
          "selp.u32 %0, 1, 0, complete;\n"
          "}\n"
          : "=r"(done)
          : "r"(SharedAddress(s, i)), "r"(parity)
          : "memory");
    } while (done == 0);
  }
  template <typename T>
  RATTN_FN static void CopyBox(Shared<T> s, int i, const TileMap& map, int c0,
                               int c1, int c2, int c3, Shared<uint64_t> phases,
                               int j) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile"
        ".mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::
            "r"(SharedAddress(s, i)),
        "l"(map.encoded), "r"(c0), "r"(c1), "r"(c2), "r"(c3),
        "r"(SharedAddress(phases, j))
        : "memory");
  }
  RATTN_FN static void FenceAsync() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }

  RATTN_FN static void GroupFence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  }
  RATTN_FN static void GroupCommit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  }
  template <int kGroupsLeft>
  RATTN_FN static void GroupWait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroupsLeft)
                 : "memory");
  }
  template <int kCount>
  RATTN_FN static void Pin(Accumulator (&sums)[kCount]) {
    RATTN_UNROLL
    for (int n = 0; n < kCount; ++n) {
      float* c = sums[n].c;
      asm volatile(""
                   : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])::"memory");
    }
  }
  template <int kCount>
  RATTN_FN static void Pin(FragmentA (&factors)[kCount]) {
    RATTN_UNROLL
    for (int n = 0; n < kCount; ++n) {
      uint32_t* r = factors[n].r;
      asm volatile(""
                   : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])::"memory");
    }
  }

#define RATTN_SUM(n) \
  "+f"(c[n].c[0]), "+f"(c[n].c[1]), "+f"(c[n].c[2]), "+f"(c[n].c[3])
#define RATTN_SUMS_8(n)                                               \
  RATTN_SUM(n), RATTN_SUM(n + 1), RATTN_SUM(n + 2), RATTN_SUM(n + 3), \
      RATTN_SUM(n + 4), RATTN_SUM(n + 5), RATTN_SUM(n + 6), RATTN_SUM(n + 7)
#define RATTN_PLACES_32                                                    \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, " \
  "%30, "                                                                  \
  "%31"
#define RATTN_PLACES_64                                                        \
  RATTN_PLACES_32                                                              \
      ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, "              \
      "%43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, " \
      "%57, "                                                                  \
      "%58, %59, %60, %61, %62, %63"
// Behind `places` sums: two descriptors and whether to add; or four registers
// of A, the descriptor of B, which lies transposed.
#define RATTN_GROUP_MMA(shape, type, places, d0, d1, d2, ...)                 \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " d2                     \
               ", 0;\n"                                                       \
               "wgmma.mma_async.sync.aligned." shape "k16.f32." type "." type \
               " {" places "}, " d0 ", " d1 ", add, 1, 1, 0, 0;\n}\n"         \
               : __VA_ARGS__                                                  \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))
#define RATTN_GROUP_MMA_COLUMNS(shape, type, places, a0, a1, a2, a3, d, one,  \
                                ...)                                          \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " one                    \
               ", 0;\n"                                                       \
               "wgmma.mma_async.sync.aligned." shape "k16.f32." type "." type \
               " {" places "}, {" a0 ", " a1 ", " a2 ", " a3 "}, " d          \
               ", add, 1, 1, 1;\n}\n"                                         \
               : __VA_ARGS__                                                  \
               : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(b),  \
                 "r"(1))

  template <typename T, int kCount>
  RATTN_FN static void GroupMma(uint64_t a, uint64_t b,
                                Accumulator (&c)[kCount], bool add) {
    static_assert(kCount == 16);
    if constexpr (std::is_same_v<T, Bf16>) {
      RATTN_GROUP_MMA("m64n128", "bf16", RATTN_PLACES_64, "%64", "%65", "%66",
                      RATTN_SUMS_8(0), RATTN_SUMS_8(8));
    } else {
      RATTN_GROUP_MMA("m64n128", "f16", RATTN_PLACES_64, "%64", "%65", "%66",
                      RATTN_SUMS_8(0), RATTN_SUMS_8(8));
    }
  }
  template <typename T, int kCount>
  RATTN_FN static void GroupMmaColumns(const FragmentA& a, uint64_t b,
                                       Accumulator (&c)[kCount]) {
    constexpr bool kBf16 = std::is_same_v<T, Bf16>;
    static_assert(kCount == 8 || kCount == 16);
    if constexpr (kBf16 && kCount == 8) {
      RATTN_GROUP_MMA_COLUMNS("m64n64", "bf16", RATTN_PLACES_32, "%32", "%33",
                              "%34", "%35", "%36", "%37", RATTN_SUMS_8(0));
    } else if constexpr (kCount == 8) {
      RATTN_GROUP_MMA_COLUMNS("m64n64", "f16", RATTN_PLACES_32, "%32", "%33",
                              "%34", "%35", "%36", "%37", RATTN_SUMS_8(0));
    } else if constexpr (kBf16) {
      RATTN_GROUP_MMA_COLUMNS("m64n128", "bf16", RATTN_PLACES_64, "%64", "%65",
                              "%66", "%67", "%68", "%69", RATTN_SUMS_8(0),
                              RATTN_SUMS_8(8));
    } else {
      RATTN_GROUP_MMA_COLUMNS("m64n128", "f16", RATTN_PLACES_64, "%64", "%65",
                              "%66", "%67", "%68", "%69", RATTN_SUMS_8(0),
                              RATTN_SUMS_8(8));
    }
  }
#undef RATTN_SUM
#undef RATTN_SUMS_8
#undef RATTN_PLACES_32
#undef RATTN_PLACES_64
#undef RATTN_GROUP_MMA
#undef RATTN_GROUP_MMA_COLUMNS

  template <int kRegisters>
  RATTN_FN static void TakeRegisters() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
  }
  template <int kRegisters>
  RATTN_FN static void LeaveRegisters() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
  }
};

}  // namespace rattn::cuda
