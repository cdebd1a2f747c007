// The execution policy on the CPU (exec.h): every thread of a block is a fiber
// of HostBlock. Beside computing, it reports
//   - indices outside a view or a part of shared memory, unaligned vectors;
//   - shared memory read that nobody wrote, that a copy is still filling, or
//     that other threads touch without a barrier between;
//   - copies under way at the end, barriers that not all threads reach, lanes
//     of a warp that meet in different operations;
//   - of compute capability 9.0: tiles multiplied before the phase of their box
//     was waited for, or written while a product of theirs may still read them;
//     phases that never complete or get other bytes than they expect; sums and
//     factors of products touched before their wait; warps of a group that
//     multiply different matrices; missing fences. Swizzles and descriptors are
//     the hardware's: where they do not fit, numbers are wrong. Order that one
//     lane has by a phase counts for its whole warp.
// It cannot find: races between blocks through global memory, forgotten
// memory fences, bank conflicts, anything about time or about the code that
// nvcc makes of a body (its registers and instructions are checked apart).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/host/host_block.h"
#include "kernels/cuda/host/warp_operations.h"
#include "kernels/cuda/host/warp_products.h"
#include "kernels/cuda/launch.h"

namespace rattn::cuda {

class HostExec {
 public:
  HostExec(HostBlock* block, int thread) : block_(block), thread_(thread) {}

  int thread() const { return thread_; }
  int lane() const { return thread_ % kWarpSize; }
  int warp() const { return thread_ / kWarpSize; }
  int block(int axis) const { return block_->block(axis); }

  template <typename T>
  Shared<T> SharedAt(int byte, int count, Where where = Where::current()) {
    const int end = byte + count * static_cast<int>(sizeof(T));
    if (byte % kCopyBytes != 0 || end > block_->shared_bytes()) {
      Report(where, "takes shared memory that the launch does not have");
      return {};
    }
    return {reinterpret_cast<T*>(block_->shared() + byte), count};
  }

  void Barrier(Where where = Where::current()) {
    block_->BlockBarrier(thread_, where);
  }
  void WarpBarrier(Where where = Where::current()) {
    block_->WarpBarrier(thread_, where);
  }

  template <typename T>
  T LoadShared(Shared<T> s, int i, Where where = Where::current()) {
    const T* at = Element(s, i, 1, where);
    if (at == nullptr || !block_->Read(at, sizeof(T), Self(), thread_, where)) {
      return T{};
    }
    return *at;
  }
  template <typename T>
  void StoreShared(Shared<T> s, int i, T x, Where where = Where::current()) {
    T* at = Element(s, i, 1, where);
    if (at != nullptr && block_->Write(at, sizeof(T), Self(), thread_, where)) {
      *at = x;
    }
  }

  template <typename T>
  Word4 LoadMatrix4(Shared<T> s, int i, Where where = Where::current()) {
    return LoadMatrix<false>(s, i, where);
  }
  template <typename T>
  Word4 LoadMatrix4Transposed(Shared<T> s, int i,
                              Where where = Where::current()) {
    return LoadMatrix<true>(s, i, where);
  }

  template <typename T>
  void Mma(const FragmentA& a, const FragmentB& b, Accumulator* c,
           Where where = Where::current()) {
    host::MmaArguments arguments{a, b, c};
    block_->MeetWarp(thread_, &host::MmaOfWarp<T>, &arguments, where);
  }
  float ShuffleXor(float x, int mask, Where where = Where::current()) {
    if (IsUnderWay(x)) Report(where, "uses a sum of a product under way");
    host::ShuffleArguments arguments{x, mask, 0};
    block_->MeetWarp(thread_, &host::ShuffleXorOfWarp, &arguments, where);
    return arguments.out;
  }

  template <typename T>
  T Load(const GlobalView<const T>& view, int64_t i0, int64_t i1, int64_t i2,
         int64_t i3, Where where = Where::current()) {
    const T* at = Checked(view, {i0, i1, i2, i3}, 1, where);
    return at == nullptr ? T{} : *at;
  }
  template <typename T>
  void Store(const GlobalView<T>& view, int64_t i0, int64_t i1, int64_t i2,
             int64_t i3, T x, Where where = Where::current()) {
    T* at = Checked(view, {i0, i1, i2, i3}, 1, where);
    if (at != nullptr) *at = x;
  }

  template <typename T>
  void CopyAsync(Shared<T> s, int i, const GlobalView<const T>& view,
                 int64_t i0, int64_t i1, int64_t i2, int64_t i3, bool valid,
                 Where where = Where::current()) {
    constexpr int kCount = kCopyBytes / static_cast<int>(sizeof(T));
    T* to = Element(s, i, kCount, where);
    const T* from =
        valid ? Checked(view, {i0, i1, i2, i3}, kCount, where) : nullptr;
    if (!Aligned(to) || !Aligned(from)) {
      Report(where, "copies 16 bytes that are not aligned");
      return;
    }
    if (to != nullptr) block_->Copy(thread_, to, from, where);
  }
  void CommitCopies() { block_->Commit(thread_); }
  template <int kGroupsLeft>
  void WaitCopies() {
    block_->Wait(thread_, kGroupsLeft);
  }

  template <typename T>
  uint32_t SharedAddress(Shared<T> s, int i, Where where = Where::current()) {
    const T* at = Element(s, i, 1, where);
    if (at == nullptr) return 0;
    return static_cast<uint32_t>(reinterpret_cast<const std::byte*>(at) -
                                 block_->shared());
  }
  void NamedBarrier(int id, int threads, Where where = Where::current()) {
    block_->NamedBarrier(thread_, id, threads, where);
  }
  void InitPhases(Shared<uint64_t> s, int i, int arrivals,
                  Where where = Where::current()) {
    const uint64_t* at = Element(s, i, 1, where);
    if (at != nullptr) block_->InitPhases(thread_, at, arrivals, where);
  }
  void Arrive(Shared<uint64_t> s, int i, Where where = Where::current()) {
    ArriveExpecting(s, i, 0, where);
  }
  void ArriveExpecting(Shared<uint64_t> s, int i, int bytes,
                       Where where = Where::current()) {
    const uint64_t* at = Element(s, i, 1, where);
    if (at != nullptr) block_->Arrive(thread_, at, bytes, where);
  }
  void WaitPhase(Shared<uint64_t> s, int i, int parity,
                 Where where = Where::current()) {
    const uint64_t* at = Element(s, i, 1, where);
    if (at != nullptr) block_->WaitPhase(thread_, at, parity, where);
  }
  template <typename T>
  void CopyBox(Shared<T> s, int i, const TileMap& map, int c0, int c1, int c2,
               int c3, Shared<uint64_t> phases, int j,
               Where where = Where::current()) {
    const T* to = Element(s, i, map.box[0] * map.box[1] * map.box[2], where);
    const uint64_t* at = Element(phases, j, 1, where);
    if (to == nullptr || at == nullptr) return;
    const auto byte = reinterpret_cast<const std::byte*>(to) - block_->shared();
    block_->CopyBox(thread_, {map, {c0, c1, c2, c3}, static_cast<int>(byte)},
                    at, where);
  }
  void FenceAsync() { block_->FenceAsync(thread_); }

  void GroupFence(Where where = Where::current()) {
    MeetProducts(&FenceOfWarp, {}, where);
  }
  void GroupCommit(Where where = Where::current()) {
    MeetProducts(&CommitOfWarp, {}, where);
  }
  template <int kGroupsLeft>
  void GroupWait(Where where = Where::current()) {
    ProductArguments arguments;
    arguments.groups_left = kGroupsLeft;
    MeetProducts(&WaitOfWarp, arguments, where);
  }
  template <typename R, int kCount>
  void Pin(R (&registers)[kCount], Where where = Where::current()) {
    ProductArguments arguments;
    arguments.pinned = {&registers[0], &registers[kCount]};
    MeetProducts(&PinOfWarp, arguments, where);
  }
  template <typename T, int kCount>
  void GroupMma(uint64_t a, uint64_t b, Accumulator (&c)[kCount], bool add,
                Where where = Where::current()) {
    Multiply<T>(nullptr, a, b, c, kCount, add, where);
  }
  template <typename T, int kCount>
  void GroupMmaColumns(const FragmentA& a, uint64_t b, Accumulator (&c)[kCount],
                       Where where = Where::current()) {
    Multiply<T>(&a, 0, b, c, kCount, true, where);
  }
  template <int kRegisters>
  void TakeRegisters() {
    static_assert(kRegisters % 8 == 0 && kRegisters <= 256);
  }
  template <int kRegisters>
  void LeaveRegisters() {
    static_assert(kRegisters % 8 == 0 && kRegisters >= 24);
  }

  template <typename T>
  static float Widen(T x) {
    return host::Widened(x);
  }
  template <typename T>
  static T Round(float x) {
    return host::Rounded<T>(x);
  }
  template <typename T>
  static uint32_t Pack(float low, float high) {
    return Round<T>(low).bits | static_cast<uint32_t>(Round<T>(high).bits)
                                    << 16;
  }
  static float Exp2(float x) { return std::exp2(x); }
  static void SinCos(double x, double* sine, double* cosine) {
    *sine = std::sin(x);
    *cosine = std::cos(x);
  }

 private:
  Actor Self() const {
    return {static_cast<int16_t>(thread_), static_cast<int16_t>(warp())};
  }
  void Report(const Where& where, const char* what) {
    block_->Report(thread_, where, what);
  }
  static bool Aligned(const void* at) {
    return reinterpret_cast<uintptr_t>(at) % kCopyBytes == 0;
  }

  template <typename T>
  T* Element(Shared<T> s, int i, int count, const Where& where) {
    if (i >= 0 && i + count <= s.count) return s.data + i;
    Report(where, "indexes outside its part of shared memory");
    return nullptr;
  }

  template <typename T>
  T* Checked(const GlobalView<T>& view, const std::array<int64_t, 4>& index,
             int count, const Where& where) {
    bool inside = view.data != nullptr;
    for (size_t axis = 0; axis < 4; ++axis) {
      const int64_t last = index[axis] + (axis == 3 ? count - 1 : 0);
      inside = inside && index[axis] >= 0 && last < view.shape[axis];
    }
    if (inside && (count == 1 || view.stride[3] == 1)) {
      return view.At(index[0], index[1], index[2], index[3]);
    }
    Report(where, inside ? "moves a vector along a strided axis"
                         : "indexes global memory out of bounds");
    return nullptr;
  }

  void MeetProducts(HostBlock::WarpAction act, ProductArguments arguments,
                    const Where& where) {
    arguments.products = &block_->products();
    arguments.warp = warp();
    arguments.where = where;
    block_->MeetWarp(thread_, act, &arguments, where);
  }
  template <typename T>
  void Multiply(const FragmentA* a, uint64_t a_rows, uint64_t b, Accumulator* c,
                int count, bool add, const Where& where) {
    ProductArguments arguments;
    if (a != nullptr) arguments.lane = {a, *a, c};
    arguments.lane.c = c;
    arguments.a_rows = a_rows;
    arguments.b = b;
    arguments.add = add;
    arguments.count = count;
    arguments.to_floats = &host::ToFloats<T>;
    MeetProducts(&MultiplyOfWarp, arguments, where);
  }

  template <bool kTransposed, typename T>
  Word4 LoadMatrix(Shared<T> s, int i, const Where& where) {
    static_assert(sizeof(T) == 2);
    constexpr int kRow = 8;
    T* row = Element(s, i, kRow, where);
    const Actor together = {Actor::kTogether, static_cast<int16_t>(warp())};
    if (row != nullptr &&
        !block_->Read(row, kCopyBytes, together, thread_, where)) {
      row = nullptr;
    }
    if (!Aligned(row)) Report(where, "loads a matrix row that is not aligned");
    Word4 out;
    host::LoadMatrixArguments arguments{reinterpret_cast<uint16_t*>(row), &out};
    block_->MeetWarp(thread_, &host::LoadMatrixOfWarp<kTransposed>, &arguments,
                     where);
    return out;
  }

  HostBlock* block_;
  int thread_;
};

// Runs launches on the CPU, block after block.
class HostLauncher {
 public:
  HostLauncher(Findings* findings, const Gpu& gpu = {})
      : findings_(findings), gpu_(gpu) {}

  const Gpu& gpu() const { return gpu_; }

  template <typename Kernel>
  void Run(const LaunchShape& shape, const typename Kernel::Params& params);

 private:
  Findings* findings_;
  Gpu gpu_;
};

// Not inline: kernels that a file of their own instantiates.
template <typename Kernel>
void HostLauncher::Run(const LaunchShape& shape,
                       const typename Kernel::Params& params) {
  HostBlock block(Kernel::kName, Kernel::kThreads, shape.shared_bytes,
                  findings_);
  const std::function<void(int)> body = [&](int thread) {
    HostExec exec(&block, thread);
    Kernel::Body(exec, params);
  };
  const auto& grid = shape.grid;
  for (int z = 0; z < grid[2]; ++z) {
    for (int y = 0; y < grid[1]; ++y) {
      for (int x = 0; x < grid[0]; ++x) block.Run({x, y, z}, body);
    }
  }
}

}  // namespace rattn::cuda
