#include "kernels/cpu/bf16_fused.h"

#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/bf16_softmax.h"
#include "kernels/cpu/combine.h"
#include "kernels/cpu/softmax_attention.h"
#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_scope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_fused.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/bf16_linear_forward-inl.h"
#include "kernels/cpu/bf16_softmax_forward-inl.h"

#ifndef RATTN_KERNELS_CPU_BF16_FUSED_ONCE
#define RATTN_KERNELS_CPU_BF16_FUSED_ONCE
namespace rattn {
namespace {

struct FusedPlan {
  explicit FusedPlan(const Problem& problem)
      : local(problem), memory(problem) {}
  int64_t heads() const { return memory.kv_heads * memory.group; }
  // Floats of the softmax rows of a chunk.
  int64_t rows() const {
    return memory.chunk * memory.group * memory.value_dim;
  }
  // Of the chunk that holds query t.
  int64_t FirstQuery(int64_t t) const {
    const int64_t place = t + memory.shift - memory.first_chunk * memory.chunk;
    return std::max<int64_t>(t - place % memory.chunk, 0);
  }

  Bf16ForwardPlan local;
  Bf16LinearPlan memory;
};

// What the threads share, and each one's own: softmax rows [C, group, Dv] and
// what makes them.
struct FusedScratch {
  FusedScratch(const FusedPlan& p, int threads, Arena* arena)
      : plan(p),
        keys(p.local, PackedGroups(p.local), arena),
        memory(p.memory, ForwardSlots(p.memory), arena),
        norm_local(arena->Take<float>(p.heads() * p.memory.width)),
        norm_memory(arena->Take<float>(p.heads() * p.memory.width)),
        rows_(arena->Take<float>(threads * p.rows())),
        softmax_bytes_(
            BytesOf([&](Arena* a) { Bf16ForwardScratch(p.local, a); })),
        softmax_(arena->Take<std::byte>(threads * softmax_bytes_)) {}

  Bf16ForwardScratch softmax(int64_t thread) const {
    Arena arena(softmax_ + thread * softmax_bytes_);
    return Bf16ForwardScratch(plan.local, &arena);
  }
  float* rows(int64_t thread) const { return rows_ + thread * plan.rows(); }

  const FusedPlan& plan;
  Bf16ForwardKeys keys;
  Bf16LinearScratch<Bf16ForwardWorker> memory;
  float* norm_local;  // [Hq, Dv], times the branch's weight
  float* norm_memory;

 private:
  float* rows_;
  int64_t softmax_bytes_;
  std::byte* softmax_;
};

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_BF16_FUSED_ONCE

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Computes the softmax rows of a chunk, and adds the memory's to them.
class FusedSink {
 public:
  FusedSink(const LocalInputs& in, const Buffers& buffers,
            const FusedScratch& scratch)
      : in_(in),
        buffers_(buffers),
        plan_(scratch.plan),
        scratch_(scratch),
        dim_(plan_.memory.value_dim),
        norms_(UsesNorms(in.problem->spec)),
        scale_(static_cast<float>(in.problem->memory_scale)) {
    const float weight = BranchWeight(in.problem->spec.combine);
    FillNorms(buffers.norm_local, weight, scratch.norm_local);
    FillNorms(buffers.norm_memory, weight, scratch.norm_memory);
  }

  void Begin(int64_t b, int64_t kv, const MemoryChunk& chunk,
             const Bf16ForwardWorker& w) const {
    const Bf16ForwardScratch softmax = scratch_.softmax(w.index);
    LocalOutputs out{buffers_.o_local, buffers_.lse, buffers_.max_logits};
    OutOrigin origin;
    if (!out.out) {
      const int64_t group = plan_.memory.group;
      out.out = Contiguous(scratch_.rows(w.index), Dtype::kF32,
                           {1, plan_.memory.chunk, group, dim_});
      out.out.stride[0] = 0;
      origin = {chunk.query_begin, kv * group};
    }
    const Bf16SoftmaxForwardPass pass(in_, out, scratch_.keys, softmax, origin);
    const int64_t end = chunk.query_begin + chunk.queries;
    const int64_t step = plan_.local.local.positions;
    for (int64_t t = chunk.query_begin; t < end; t += step) {
      pass.Run(BlockOf(in_, b, kv, t, std::min(t + step, end)));
    }
  }

  void Row(int64_t b, int64_t t, int64_t h, const float* tiles,
           const Bf16ForwardWorker& w) const {
    if (buffers_.o_memory) {
      StoreTileRow(tiles, kResultTile, _mm512_set1_ps(scale_),
                   buffers_.o_memory, b, t, h, w.row);
    }
    const float* local = LocalRow(b, t, h, w);
    const float* scale_local = scratch_.norm_local + h * plan_.memory.width;
    const float* scale_memory = scratch_.norm_memory + h * plan_.memory.width;
    __m512 by_local = _mm512_set1_ps(1.f), by_memory = _mm512_set1_ps(scale_);
    if (norms_) InverseNorms(local, tiles, &by_local, &by_memory);
    for (int64_t i = 0; i < dim_; i += kSide) {
      const __m512 x = _mm512_mul_ps(Load(local, i), by_local);
      const __m512 y = _mm512_mul_ps(
          _mm512_load_ps(tiles + i / kSide * kResultTile), by_memory);
      _mm512_store_ps(
          w.row + i,
          _mm512_fmadd_ps(x, _mm512_load_ps(scale_local + i),
                          _mm512_mul_ps(y, _mm512_load_ps(scale_memory + i))));
    }
    StoreTileRow(w.row, kSide, _mm512_set1_ps(1.f), buffers_.o, b, t, h, w.phi);
  }

 private:
  __m512 Load(const float* row, int64_t i) const {
    return _mm512_maskz_loadu_ps(FirstLanes(dim_ - i), row + i);
  }

  // 1 / rms of both rows; the memory's times its scale.
  void InverseNorms(const float* local, const float* tiles, __m512* by_local,
                    __m512* by_memory) const {
    __m512 x = _mm512_setzero_ps(), y = x;
    for (int64_t i = 0; i < dim_; i += kSide) {
      const __m512 a = Load(local, i);
      const __m512 c = _mm512_mul_ps(
          *by_memory, _mm512_load_ps(tiles + i / kSide * kResultTile));
      x = _mm512_fmadd_ps(a, a, x);
      y = _mm512_fmadd_ps(c, c, y);
    }
    const auto inverse = [&](__m512 squares) HWY_ATTR {
      return 1.f / std::sqrt(_mm512_reduce_add_ps(squares) /
                                 static_cast<float>(dim_) +
                             static_cast<float>(kNormEpsilon));
    };
    *by_local = _mm512_set1_ps(inverse(x));
    *by_memory = _mm512_mul_ps(*by_memory, _mm512_set1_ps(inverse(y)));
  }

  const float* LocalRow(int64_t b, int64_t t, int64_t h,
                        const Bf16ForwardWorker& w) const {
    const TensorView& kept = buffers_.o_local;
    if (kept && kept.stride[3] == 1) return kept.Row<const float>(b, t, h);
    if (kept) {
      LoadRow(kept.Row<const float>(b, t, h), kept.stride[3], dim_, 1.f, w.phi);
      return w.phi;
    }
    const int64_t group = plan_.memory.group;
    return scratch_.rows(w.index) +
           ((t - plan_.FirstQuery(t)) * group + h % group) * dim_;
  }

  void FillNorms(const TensorView& norm, float weight, float* out) const {
    for (int64_t h = 0; h < plan_.heads(); ++h, out += plan_.memory.width) {
      std::fill_n(out, plan_.memory.width, 1.f);
      if (!norms_) continue;
      for (int64_t i = 0; i < dim_; ++i) {
        out[i] =
            weight * (norm ? static_cast<float>(norm.Get(0, 0, h, i)) : 1.f);
      }
    }
  }

  const LocalInputs& in_;
  const Buffers& buffers_;
  const FusedPlan& plan_;
  const FusedScratch& scratch_;
  const int64_t dim_;
  const bool norms_;
  const float scale_;
};

void FusedForward(const LocalInputs& in, const Buffers& buffers,
                  Workspace workspace) {
  const Problem& problem = *in.problem;
  const FusedPlan plan(problem);
  Arena arena(workspace.data);
  const FusedScratch scratch(plan, problem.threads, &arena);
  PackAllKeys(in, plan.local, scratch.keys,
              [&](int thread) { return scratch.softmax(thread); });
  const FusedSink sink(in, buffers, scratch);
  RunMemoryPass<TileScope>(problem.threads, plan.memory,
                           Bf16LinearForwardPass(problem, buffers, sink,
                                                 plan.memory, scratch.memory));
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#if HWY_ONCE
namespace rattn {

bool UsesBf16Fused(const Problem& problem) {
  return HasLocal(problem.spec) && HasMemory(problem.spec) &&
         problem.spec.combine != Combine::kSplitHeads &&
         !problem.state_per_query_head && UsesBf16Softmax(problem) &&
         UsesBf16Linear(problem);
}

size_t Bf16FusedBytes(const Problem& problem) {
  const FusedPlan plan(problem);
  return BytesOf(
      [&](Arena* arena) { FusedScratch(plan, problem.threads, arena); });
}

void Bf16FusedForward([[maybe_unused]] const LocalInputs& inputs,
                      [[maybe_unused]] const Buffers& buffers,
                      [[maybe_unused]] Workspace workspace) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::FusedForward(inputs, buffers, workspace);
#endif
}

}  // namespace rattn
#endif  // HWY_ONCE
