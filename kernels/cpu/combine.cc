#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/combine.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/combine.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_ops-inl.h"

#ifndef RATTN_KERNELS_CPU_COMBINE_ONCE
#define RATTN_KERNELS_CPU_COMBINE_ONCE

#include <algorithm>
#include <array>
#include <cmath>

namespace rattn {
namespace {

// One branch as the combination sees it.
struct NormBranch {
  HeadRange heads;
  TensorView x;
  TensorView norm;           // may be absent: 1
  TensorView d_x;            // backward
  TensorView d_norm;         // backward, may be absent
  float* partial = nullptr;  // [blocks, Hq, Dv], sums for d_norm
};

// Blocks of rows whose contributions to d_norm are summed apart. Their number
// depends on the shape alone, so that the result does not depend on threads;
// 64 keep many threads busy and the sums short.
struct RowBlocks {
  explicit RowBlocks(const Shape& s)
      : rows(s.batch * s.query_len),
        size(std::max<int64_t>((rows + 63) / 64, 16)),
        count((rows + size - 1) / size) {}
  int64_t end(int64_t block) const {
    return std::min(rows, (block + 1) * size);
  }

  int64_t rows, size, count;
};

bool Contains(const HeadRange& range, int64_t h) {
  return h >= range.begin && h < range.end;
}

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_COMBINE_ONCE

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Rows are worked on in pieces that fit on the stack, as value_dim is free.
inline constexpr int64_t kPiece = 512;

inline void LoadPiece(const TensorView& view, int64_t b, int64_t i, int64_t h,
                      int64_t c, int64_t n, float* out) {
  const int64_t stride = view.stride[3];
  if (view.dtype == Dtype::kBF16) {
    LoadRow(view.Row<const Bf16>(b, i, h) + c * stride, stride, n, 1.f, out);
  } else {
    LoadRow(view.Row<const float>(b, i, h) + c * stride, stride, n, 1.f, out);
  }
}

inline void StorePiece(const float* in, const TensorView& view, int64_t b,
                       int64_t i, int64_t h, int64_t c, int64_t n) {
  const int64_t stride = view.stride[3];
  if (view.dtype == Dtype::kBF16) {
    StoreRow(in, n, view.Row<Bf16>(b, i, h) + c * stride, stride, false);
  } else {
    StoreRow(in, n, view.Row<float>(b, i, h) + c * stride, stride, false);
  }
}

class Combination {
 public:
  Combination(const Problem& problem, const Buffers& buffers,
              const NormBranch* branches)
      : branches_(branches),
        tq_(problem.shape.query_len),
        heads_(problem.shape.query_heads),
        dim_(problem.shape.value_dim),
        norms_(UsesNorms(problem.spec)),
        weight_(BranchWeight(problem.spec.combine)),
        blocks_(problem.shape),
        o_(buffers.o),
        d_o_(buffers.d_o) {}

  void Forward(int threads) const {
    ParallelFor(threads, blocks_.count, [this](int64_t block, int) {
      for (int64_t row = block * blocks_.size; row < blocks_.end(block);
           ++row) {
        for (int64_t h = 0; h < heads_; ++h) {
          ForwardRow(row / tq_, row % tq_, h);
        }
      }
    });
  }

  void Backward(int threads) const {
    ParallelFor(threads, blocks_.count, [this](int64_t block, int) {
      for (int branch = 0; branch < 2; ++branch) {
        BackwardBlock(branches_[branch], block);
      }
    });
    ParallelFor(threads, heads_, [this](int64_t h, int) {
      for (int branch = 0; branch < 2; ++branch) {
        if (branches_[branch].d_norm) SumPartials(branches_[branch], h);
      }
    });
  }

 private:
  float InverseRms(const NormBranch& branch, int64_t b, int64_t i,
                   int64_t h) const {
    float x[kPiece];
    float squares = 0;
    for (int64_t c = 0; c < dim_; c += kPiece) {
      const int64_t n = std::min(kPiece, dim_ - c);
      LoadPiece(branch.x, b, i, h, c, n, x);
      squares += Dot(x, x, n);
    }
    return 1.f / std::sqrt(squares / static_cast<float>(dim_) +
                           static_cast<float>(kNormEpsilon));
  }

  void ForwardRow(int64_t b, int64_t i, int64_t h) const {
    float factors[2] = {1.f, 1.f};
    for (int k = 0; k < 2; ++k) {
      if (norms_ && Contains(branches_[k].heads, h)) {
        factors[k] = weight_ * InverseRms(branches_[k], b, i, h);
      }
    }
    HWY_ALIGN float x[kPiece], o[kPiece];
    for (int64_t c = 0; c < dim_; c += kPiece) {
      const int64_t n = std::min(kPiece, dim_ - c);
      std::fill(o, o + n, 0.f);
      for (int k = 0; k < 2; ++k) {
        if (!Contains(branches_[k].heads, h)) continue;
        LoadPiece(branches_[k].x, b, i, h, c, n, x);
        if (norms_) TimesNorm(branches_[k], h, c, n, x);
        ScaleRow(factors[k], x, n, o, true);
      }
      StorePiece(o, o_, b, i, h, c, n);
    }
  }

  void BackwardBlock(const NormBranch& branch, int64_t block) const {
    float* sums = branch.partial + block * heads_ * dim_;
    if (branch.d_norm) std::fill(sums, sums + heads_ * dim_, 0.f);
    for (int64_t row = block * blocks_.size; row < blocks_.end(block); ++row) {
      for (int64_t h = branch.heads.begin; h < branch.heads.end; ++h) {
        BackwardRow(branch, row / tq_, row % tq_, h, sums + h * dim_);
      }
    }
  }

  // y = w s x / rms(x), g = w s dy:
  //   dx = g / rms - x (g . x) / (n rms^3),  ds += w dy x / rms.
  void BackwardRow(const NormBranch& branch, int64_t b, int64_t i, int64_t h,
                   float* d_norm) const {
    const float inverse = InverseRms(branch, b, i, h);
    HWY_ALIGN float x[kPiece], g[kPiece];
    float along = 0;
    for (int64_t c = 0; c < dim_; c += kPiece) {
      const int64_t n = std::min(kPiece, dim_ - c);
      LoadPiece(branch.x, b, i, h, c, n, x);
      LoadPiece(d_o_, b, i, h, c, n, g);
      if (branch.d_norm) AddProduct(weight_ * inverse, x, g, n, d_norm + c);
      TimesNorm(branch, h, c, n, g);
      along += weight_ * Dot(g, x, n);
    }
    const float curvature =
        along * inverse * inverse * inverse / static_cast<float>(dim_);
    for (int64_t c = 0; c < dim_; c += kPiece) {
      const int64_t n = std::min(kPiece, dim_ - c);
      if (dim_ > kPiece) {  // a single piece is still there
        LoadPiece(branch.x, b, i, h, c, n, x);
        LoadPiece(d_o_, b, i, h, c, n, g);
        TimesNorm(branch, h, c, n, g);
      }
      ScaleRow(weight_ * inverse, g, n, g, false);
      ScaleRow(-curvature, x, n, g, true);
      StorePiece(g, branch.d_x, b, i, h, c, n);
    }
  }

  void SumPartials(const NormBranch& branch, int64_t h) const {
    float* sums = branch.partial + h * dim_;
    for (int64_t block = 1; block < blocks_.count; ++block) {
      ScaleRow(1.f, sums + block * heads_ * dim_, dim_, sums, true);
    }
    StorePiece(sums, branch.d_norm, 0, 0, h, 0, dim_);
  }

  // x *= the norm's scale of head h, elements from c on.
  static void TimesNorm(const NormBranch& branch, int64_t h, int64_t c,
                        int64_t n, float* x) {
    if (!branch.norm) return;
    HWY_ALIGN float scale[kPiece];
    LoadPiece(branch.norm, 0, 0, h, c, n, scale);
    for (int64_t i = 0; i < n; ++i) x[i] *= scale[i];
  }

  static void AddProduct(float factor, const float* a, const float* b,
                         int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) out[i] += factor * a[i] * b[i];
  }

  const NormBranch* branches_;  // local, memory
  const int64_t tq_, heads_, dim_;
  const bool norms_;
  const float weight_;
  const RowBlocks blocks_;
  const TensorView o_, d_o_;
};

void RunForward(const Problem& problem, const Buffers& buffers,
                const NormBranch* branches) {
  Combination(problem, buffers, branches).Forward(problem.threads);
}
void RunBackward(const Problem& problem, const Buffers& buffers,
                 const NormBranch* branches) {
  Combination(problem, buffers, branches).Backward(problem.threads);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {

std::array<NormBranch, 2> Branches(const Problem& problem,
                                   const Buffers& buffers,
                                   const TensorView& local,
                                   const TensorView& memory) {
  const int64_t heads = problem.shape.query_heads;
  std::array<NormBranch, 2> branches;
  branches[0].heads = LocalHeads(problem.spec, heads);
  branches[0].x = local;
  branches[0].norm = buffers.norm_local;
  branches[1].heads = MemoryHeads(problem.spec, heads);
  branches[1].x = memory;
  branches[1].norm = buffers.norm_memory;
  return branches;
}

int64_t PartialSize(const Problem& p) {
  return RowBlocks(p.shape).count * p.shape.query_heads * p.shape.value_dim;
}

}  // namespace

HWY_EXPORT(RunForward);
HWY_EXPORT(RunBackward);

void CombineForward(const Problem& problem, const Buffers& buffers,
                    const TensorView& local, const TensorView& memory) {
  const auto branches = Branches(problem, buffers, local, memory);
  HWY_DYNAMIC_DISPATCH(RunForward)(problem, buffers, branches.data());
}

size_t CombineScratchBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) {
    arena->Take<float>(PartialSize(problem));
    arena->Take<float>(PartialSize(problem));
  });
}

void CombineBackward(const Problem& problem, const Buffers& buffers,
                     const TensorView& local, const TensorView& memory,
                     const TensorView& d_local, const TensorView& d_memory,
                     Workspace workspace) {
  Arena arena(workspace.data);
  auto branches = Branches(problem, buffers, local, memory);
  branches[0].d_x = d_local;
  branches[0].d_norm = buffers.d_norm_local;
  branches[0].partial = arena.Take<float>(PartialSize(problem));
  branches[1].d_x = d_memory;
  branches[1].d_norm = buffers.d_norm_memory;
  branches[1].partial = arena.Take<float>(PartialSize(problem));
  HWY_DYNAMIC_DISPATCH(RunBackward)(problem, buffers, branches.data());
}

}  // namespace rattn
#endif  // HWY_ONCE
