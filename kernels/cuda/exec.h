// The execution policy: what a kernel body may ask of the machine that runs
// it. A body is a template over `Exec`; nvcc instantiates it with DeviceExec
// (exec_device.h), the tests with HostExec (host/exec_host.h), which runs the
// same body on the CPU and reports what the hardware would let pass.
//
// Each thread of a block has its own Exec. Operations, the same for both:
//   thread() lane() warp() block(axis)
//   SharedAt<T>(byte, count)         a part of the block's shared memory
//   Barrier() WarpBarrier()          order memory of the block, of the warp
//   LoadShared(s, i) StoreShared(s, i, x)
//   Load(view, i0..i3) Store(view, i0..i3, x)     one element of global memory
//   CopyAsync(s, i, view, i0..i3, valid)   16 bytes global to shared (zeros
//       where not valid); there only after WaitCopies by the same thread, for
//       the others after a barrier behind that
//   CommitCopies() WaitCopies<n>()   all but the last n committed groups
//   LoadMatrix4(s, i) LoadMatrix4Transposed(s, i)    \  by all lanes of a
//   Mma<T>(a, b, &c)                                  | warp together
//   ShuffleXor(x, mask)                              /
//   Widen(x) Round<T>(x) Pack<T>(low, high)          conversions
//   Exp2(x)                          relative error below 2^-21
// Compute capability 9.0 alone (sm_90a), in kernels with kSm90a (launch.h):
//   SharedAddress(s, i)              of an element, for descriptors
//   NamedBarrier(id, threads)        Barrier() of that many threads, whole
//       warps; id 1..15
//   InitPhases(s, i, arrivals)       makes element i a barrier of phases
//       (mbarrier): a phase completes with that many arrivals and all bytes
//       that they expect
//   Arrive(s, i) ArriveExpecting(s, i, bytes) WaitPhase(s, i, parity)   the
//       wait is for the phase of that parity, 0 the first; before the first
//       phase completes, one of parity 1 counts as complete
//   CopyBox(s, i, map, c0..c3, phases, j)   a box of a tensor to shared memory
//       (TMA), by one thread; zeros outside the tensor; adds its bytes to
//       phase barrier j; 128-byte swizzle by the address in shared memory
//   FenceAsync()   what this thread wrote to shared memory, before a barrier
//       behind it, for CopyBox and the products below
//   GroupFence() GroupCommit() GroupWait<n>()   by all lanes: the products
//       behind it may use registers; ends a group of products; all but the last
//       n groups are done
//   Pin(registers)   accumulators or fragments of products, before the
//       GroupFence and behind the GroupWait: no use moves across it
//   GroupMma<T>(a, b, &c, add)       \ of four warps: c = A B + (add ? c : 0);
//   GroupMmaColumns<T>(a, b, &c)     / registers are theirs until the wait
//   TakeRegisters<n>() LeaveRegisters<n>()   n registers a thread from here on,
//       by all of four warps
//
// Fragments are those of PTX mma.m16n8k16 (PTX ISA, "Matrix Fragments for
// mma.m16n8k16"). With g = lane / 4 and t = lane % 4, a register holds two
// elements, the lower index in its lower half:
//   A [16, 16]  r[0] (g, 2t..)      r[1] (g + 8, 2t..)
//               r[2] (g, 2t + 8..)  r[3] (g + 8, 2t + 8..)
//   B [16, 8]   r[0] (2t.., g)      r[1] (2t + 8.., g)
//   C [16, 8]   c[0], c[1] (g, 2t..)  c[2], c[3] (g + 8, 2t..)      fp32
// LoadMatrix4 reads four 8x8 matrices; lane l names row l % 8 of matrix l / 8
// and gets, in word m, elements (g, 2t..) of matrix m; transposed (2t.., g).
// Products of four warps (wgmma.m64nNk16) take matrices in shared memory as
// descriptors (group_tile.h). GroupMma: A [64, 16] and B [N, 16] by rows;
// GroupMmaColumns: A as fragment, B [16, N] as it lies. Warp w of the four has
// rows 16w.. of A and C, c[n] being C of columns 8n.. .
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define RATTN_FN __device__ __forceinline__
#define RATTN_UNROLL _Pragma("unroll")
#define RATTN_UNROLL_BY(n) _Pragma(RATTN_TEXT(unroll n))
#define RATTN_TEXT(x) #x
#else
#define RATTN_FN inline
#define RATTN_UNROLL
#define RATTN_UNROLL_BY(n)
#endif

namespace rattn::cuda {

inline constexpr float kLog2E = 1.4426950408889634f;  // for Exp2
inline constexpr float kMinusInfinity = -__builtin_inff();
inline constexpr int kWarpSize = 32;
inline constexpr int kCopyBytes = 16;  // of one CopyAsync

struct Word4 {
  uint32_t w[4];
};
struct FragmentA {
  uint32_t r[4];
};
struct FragmentB {
  uint32_t r[2];
};
struct Accumulator {
  float c[4];
};

// A tensor in global memory, as TensorView: four axes, strides in elements.
// The host checks every index against `shape`; the device never reads it.
template <typename T>
struct GlobalView {
  T* data = nullptr;
  int64_t shape[4] = {};
  int64_t stride[4] = {};

  constexpr explicit operator bool() const { return data != nullptr; }
  RATTN_FN T* At(int64_t i0, int64_t i1, int64_t i2, int64_t i3) const {
    return data + i0 * stride[0] + i1 * stride[1] + i2 * stride[2] +
           i3 * stride[3];
  }
};

// Reading only.
template <typename T>
constexpr GlobalView<const T> ReadOnly(const GlobalView<T>& view) {
  GlobalView<const T> out;
  out.data = view.data;
  for (int axis = 0; axis < 4; ++axis) {
    out.shape[axis] = view.shape[axis];
    out.stride[axis] = view.stride[axis];
  }
  return out;
}

// A tensor of 16-bit elements in global memory as CopyBox reads it: axes from
// the innermost on, strides of axes 1.. in bytes (tile_map.h).
struct TileMap {
  const void* data = nullptr;
  int64_t shape[4] = {};
  int64_t stride[3] = {};
  int box[4] = {};
  alignas(64) unsigned char encoded[128] = {};  // a CUtensorMap, on the device
};

// `count` elements of shared memory.
template <typename T>
struct Shared {
  T* data = nullptr;
  int count = 0;
};

}  // namespace rattn::cuda
