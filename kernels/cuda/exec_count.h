// The execution policy (exec.h) that only counts: what a launch multiplies,
// exponentiates and moves, found by walking its bodies without memory behind
// the views. No body branches on what it loads but for masks of single values,
// so one lane stands for its warp; blocks are sampled.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/launch_work.h"

namespace rattn::cuda {

class CountExec {
 public:
  // Global memory that a view stands for: moved at least once, at most as
  // often as it is asked for.
  struct Touched {
    const void* data;
    double size, bytes;
  };
  struct Counts {
    double mmas = 0, exps = 0;
    std::vector<Touched> touched;
  };

  CountExec(const std::array<int, 3>& block, int thread, Counts* counts)
      : block_(block), thread_(thread), counts_(counts) {
    exps_ = 0;
  }
  ~CountExec() { counts_->exps += kWarpSize * static_cast<double>(exps_); }
  CountExec(const CountExec&) = delete;
  CountExec& operator=(const CountExec&) = delete;

  int thread() const { return thread_; }
  int lane() const { return thread_ % kWarpSize; }
  int warp() const { return thread_ / kWarpSize; }
  int block(int axis) const { return block_[static_cast<size_t>(axis)]; }

  template <typename T>
  Shared<T> SharedAt(int, int count) {
    return {nullptr, count};
  }
  void Barrier() {}
  void WarpBarrier() {}
  template <typename T>
  T LoadShared(Shared<T>, int) {
    return {};
  }
  template <typename T>
  void StoreShared(Shared<T>, int, T) {}
  template <typename T>
  Word4 LoadMatrix4(Shared<T>, int) {
    return {};
  }
  template <typename T>
  Word4 LoadMatrix4Transposed(Shared<T>, int) {
    return {};
  }
  template <typename T>
  void Mma(const FragmentA&, const FragmentB&, Accumulator*) {
    ++counts_->mmas;
  }
  float ShuffleXor(float x, int) { return x; }

  template <typename T>
  T Load(const GlobalView<const T>& view, int64_t, int64_t, int64_t, int64_t) {
    Touch(view, sizeof(T));
    return {};
  }
  template <typename T>
  void Store(const GlobalView<T>& view, int64_t, int64_t, int64_t, int64_t, T) {
    Touch(view, sizeof(T));
  }
  template <typename T>
  void CopyAsync(Shared<T>, int, const GlobalView<const T>& view, int64_t,
                 int64_t, int64_t, int64_t, bool valid) {
    if (valid) Touch(view, kCopyBytes);
  }
  void CommitCopies() {}
  template <int kGroupsLeft>
  void WaitCopies() {}

  template <typename T>
  uint32_t SharedAddress(Shared<T>, int) {
    return 0;
  }
  void NamedBarrier(int, int) {}
  void InitPhases(Shared<uint64_t>, int, int) {}
  void Arrive(Shared<uint64_t>, int) {}
  void ArriveExpecting(Shared<uint64_t>, int, int) {}
  void WaitPhase(Shared<uint64_t>, int, int) {}
  template <typename T>
  void CopyBox(Shared<T>, int, const TileMap& map, int, int, int, int,
               Shared<uint64_t>, int) {
    double size = sizeof(T), bytes = sizeof(T);
    for (const int64_t extent : map.shape) size *= static_cast<double>(extent);
    for (const int extent : map.box) bytes *= extent;
    Touch(map.data, size, bytes);
  }
  void FenceAsync() {}
  void GroupFence() {}
  void GroupCommit() {}
  template <int kGroupsLeft>
  void GroupWait() {}
  template <typename R, int kCount>
  void Pin(R (&)[kCount]) {}
  template <typename T, int kCount>
  void GroupMma(uint64_t, uint64_t, Accumulator (&)[kCount], bool) {
    counts_->mmas += kCount;  // 16 rows of a warp
  }
  template <typename T, int kCount>
  void GroupMmaColumns(const FragmentA&, uint64_t, Accumulator (&)[kCount]) {
    counts_->mmas += kCount;
  }
  template <int kRegisters>
  void TakeRegisters() {}
  template <int kRegisters>
  void LeaveRegisters() {}

  template <typename T>
  static float Widen(T) {
    return 0;
  }
  template <typename T>
  static T Round(float) {
    return {};
  }
  template <typename T>
  static uint32_t Pack(float, float) {
    return 0;
  }
  static float Exp2(float) {
    ++exps_;
    return 1;
  }
  static void SinCos(double, double* sine, double* cosine) {
    *sine = 0;
    *cosine = 1;
  }

 private:
  template <typename T>
  void Touch(const GlobalView<T>& view, int bytes) {
    double size = sizeof(T);
    for (const int64_t extent : view.shape) size *= static_cast<double>(extent);
    Touch(view.data, size, kWarpSize * bytes);
  }
  void Touch(const void* data, double size, double bytes) {
    for (Touched& one : counts_->touched) {
      if (one.data != data) continue;
      one.bytes += bytes;
      return;
    }
    counts_->touched.push_back({data, size, bytes});
  }

  std::array<int, 3> block_;
  int thread_;
  Counts* counts_;
  static inline thread_local int64_t exps_ = 0;  // bodies call Exp2 by type
};

// The work of a launch. Of many blocks along x and y (heads) some are walked,
// evenly spread, which is exact where work grows linearly along them; along z
// (sequences) all are alike.
template <typename Kernel>
LaunchWork CountWork(const LaunchShape& shape,
                     const typename Kernel::Params& params, int most_blocks) {
  constexpr double kFlopsOfMma = 2.0 * 16 * 8 * 16;
  const int heads = std::min(shape.grid[1], 4);
  const int blocks = std::min(shape.grid[0], most_blocks);
  const auto sampled = [](int i, int count, int of) {
    return static_cast<int>((2 * i + 1) * static_cast<int64_t>(of) /
                            (2 * static_cast<int64_t>(count)));
  };
  CountExec::Counts counts;
  for (int y = 0; y < heads; ++y) {
    for (int x = 0; x < blocks; ++x) {
      const std::array<int, 3> block = {sampled(x, blocks, shape.grid[0]),
                                        sampled(y, heads, shape.grid[1]), 0};
      for (int warp = 0; warp < Kernel::kThreads; warp += kWarpSize) {
        CountExec exec(block, warp, &counts);
        Kernel::Body(exec, params);
      }
    }
  }
  const double scale =
      static_cast<double>(shape.grid[0]) / std::max(blocks, 1) *
      (static_cast<double>(shape.grid[1]) / std::max(heads, 1)) * shape.grid[2];
  LaunchWork work;
  work.flops = scale * counts.mmas * kFlopsOfMma;
  work.exps = scale * counts.exps;
  for (const CountExec::Touched& one : counts.touched) {
    work.requested_bytes += scale * one.bytes;
    work.bytes += std::min(scale * one.bytes, one.size);
  }
  return work;
}

}  // namespace rattn::cuda
