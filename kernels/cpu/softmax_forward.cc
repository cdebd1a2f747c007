#include "kernels/cpu/bf16_softmax.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_forward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/softmax_tile-inl.h"

#ifndef RATTN_KERNELS_CPU_SOFTMAX_FORWARD_ONCE
#define RATTN_KERNELS_CPU_SOFTMAX_FORWARD_ONCE
namespace rattn {
namespace {

// Buffers of one thread; vectors of `rows` values unless said otherwise.
struct ForwardScratch {
  float* query_rows;  // [rows, D]
  float* query;       // Q^T [D, rows], scaled to base-2 logits
  float* keys;        // [kKeyTile, D]
  float* values;      // [kKeyTile, Dv]
  float* scores;      // S^T, then P^T [kKeyTile, rows]
  float* out;         // [rows, Dv]
  float* top;         // running maximum, sink logit included
  float* sum;         // running sum of 2^(score - top)
  float* rescale;     // 2^(old top - new top)
  int32_t* positions;
};

ForwardScratch TakeForwardScratch(const Problem& problem, Arena* arena) {
  const Shape& shape = problem.shape;
  const int64_t rows = MakeLocalPlan(problem).rows;
  ForwardScratch s;
  s.query_rows = arena->Take<float>(rows * shape.head_dim);
  s.query = arena->Take<float>(rows * shape.head_dim);
  s.keys = arena->Take<float>(kKeyTile * shape.head_dim);
  s.values = arena->Take<float>(kKeyTile * shape.value_dim);
  s.scores = arena->Take<float>(kKeyTile * rows);
  s.out = arena->Take<float>(rows * shape.value_dim);
  for (float** vector : {&s.top, &s.sum, &s.rescale}) {
    *vector = arena->Take<float>(rows);
  }
  s.positions = arena->Take<int32_t>(rows);
  return s;
}

size_t ForwardScratchBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) { TakeForwardScratch(problem, arena); });
}

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_SOFTMAX_FORWARD_ONCE

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// Online softmax of one tile of scores: the maxima and sums move on, the
// scores become 2^(score - top). Returns whether earlier output must be
// rescaled.
template <bool kMasked>
bool SoftmaxTile(const TileMask& mask, int64_t keys, int64_t padded,
                 const ForwardScratch& s) {
  const TileD d;
  const hn::RebindToSigned<TileD> d32;
  const int64_t lanes = hn::Lanes(d);
  const TileV nothing = hn::Set(d, kMinusInfinity);
  bool moved = false;
  for (int64_t c = 0; c < padded; c += lanes) {
    const auto positions = hn::LoadU(d32, s.positions + c);
    float* column = s.scores + c;
    // Two chains hide the latency of the maximum.
    TileV best[2] = {nothing, nothing};
    for (int64_t k = 0; k < keys; ++k) {
      TileV x = hn::LoadU(d, column + k * padded);
      if constexpr (kMasked) {
        x = hn::IfThenElse(VisibleLanes(mask, positions, k), x, nothing);
        hn::StoreU(x, d, column + k * padded);
      }
      best[k & 1] = hn::Max(best[k & 1], x);
    }
    const TileV old_top = hn::LoadU(d, s.top + c);
    const TileV top = hn::Max(old_top, hn::Max(best[0], best[1]));
    // A row that has seen nothing yet has no maximum to subtract.
    const TileV shift = hn::IfThenElse(hn::Eq(top, nothing), hn::Zero(d), top);
    const TileV rescale = Exp2(hn::Sub(old_top, shift));
    TileV sum[2] = {hn::Zero(d), hn::Zero(d)};
    for (int64_t k = 0; k < keys; ++k) {
      const TileV p = Exp2(hn::Sub(hn::LoadU(d, column + k * padded), shift));
      hn::StoreU(p, d, column + k * padded);
      sum[k & 1] = hn::Add(sum[k & 1], p);
    }
    hn::StoreU(
        hn::MulAdd(hn::LoadU(d, s.sum + c), rescale, hn::Add(sum[0], sum[1])),
        d, s.sum + c);
    hn::StoreU(top, d, s.top + c);
    hn::StoreU(rescale, d, s.rescale + c);
    moved = moved || !hn::AllTrue(d, hn::Eq(top, old_top));
  }
  return moved;
}

// The keys of a part in tiles. Returns whether `out` holds anything yet.
inline bool AttendKeys(const LocalInputs& in, const QueryBlock& block,
                       const BlockPart& part, bool started,
                       const ForwardScratch& s) {
  const Shape& shape = in.problem->shape;
  for (int64_t first = part.keys.begin; first < part.keys.end;
       first += kKeyTile) {
    const int64_t keys = std::min(kKeyTile, part.keys.end - first);
    int64_t ldk, ldv;
    const float* k =
        KeyRows(in.k, block.b, block.kv_head, first, keys, s.keys, &ldk);
    const float* v =
        KeyRows(in.v, block.b, block.kv_head, first, keys, s.values, &ldv);
    GemmNN(keys, block.padded, shape.head_dim, k, ldk, s.query, block.padded,
           s.scores, block.padded, false);
    if (const float cap = Softcap2(*in.problem); cap > 0) {
      CapScores(cap, keys * block.padded, s.scores);
    }
    const TileMask mask = MaskOf(block, first, keys, part.window);
    const bool moved = mask.needed
                           ? SoftmaxTile<true>(mask, keys, block.padded, s)
                           : SoftmaxTile<false>(mask, keys, block.padded, s);
    for (int64_t r = 0; started && moved && r < block.rows; ++r) {
      if (s.rescale[r] == 1) continue;
      float* row = s.out + r * shape.value_dim;
      ScaleRow(s.rescale[r], row, shape.value_dim, row, false);
    }
    GemmTN(block.rows, shape.value_dim, keys, s.scores, block.padded, v, ldv,
           s.out, shape.value_dim, started);
    started = true;
  }
  return started;
}

inline void StartRows(const LocalInputs& in, const QueryBlock& block,
                      const ForwardScratch& s) {
  FillRowPositions(block, s.positions);
  std::fill_n(s.top, block.padded, kMinusInfinity);
  std::fill_n(s.sum, block.padded, 0.0f);
  if (!in.sink_logit) return;
  for (int64_t r = 0; r < block.rows; ++r) {
    const int64_t h = block.heads.begin + r % block.heads.size();
    s.top[r] = static_cast<float>(in.sink_logit.Get(0, 0, 0, h)) * kLog2E;
    s.sum[r] = 1;
  }
}

// Sums become lse; rows without keys get 0 and -inf.
inline void FinishRows(const QueryBlock& block, const LocalOutputs& out,
                       int64_t value_dim, const ForwardScratch& s) {
  int64_t r = 0;
  for (int64_t t = block.begin; t < block.end; ++t) {
    for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++r) {
      float* row = s.out + r * value_dim;
      const float sum = s.sum[r];
      ScaleRow(sum > 0 ? 1 / sum : sum, row, value_dim, row, false);
      StoreRows(row, value_dim, out.out, block.b, t, 1, h, false);
      if (out.lse) {
        *out.lse.Row<float>(block.b, t, h) =
            sum > 0 ? static_cast<float>(static_cast<double>(s.top[r]) *
                                             0.69314718055994531 +
                                         std::log(sum))
                    : kMinusInfinity + sum;
      }
      if (out.max_logits) {
        *out.max_logits.Row<float>(block.b, t, h) = s.top[r] * kLn2;
      }
    }
  }
}

inline void ForwardBlock(const LocalInputs& in, const LocalPlan& plan,
                         const QueryBlock& block, const LocalOutputs& out,
                         const ForwardScratch& s) {
  const Problem& problem = *in.problem;
  const float scale = static_cast<float>(LocalScale(problem) * M_LOG2E);
  StartRows(in, block, s);
  bool started = false;
  Rotation packed{};
  for (const BlockPart& part : BlockParts(in, plan, block)) {
    if (part.keys.size() == 0) continue;
    if (!started || packed != part.rotation) {
      PackRows(in, block, in.q, scale, part.rotation, s.query_rows);
      Transpose(block.padded, in.q.shape[3], s.query_rows, in.q.shape[3],
                s.query, block.padded);
      packed = part.rotation;
    }
    started = AttendKeys(in, block, part, started, s);
  }
  if (!started) {
    std::fill_n(s.out, block.rows * problem.shape.value_dim, 0.0f);
  }
  FinishRows(block, out, problem.shape.value_dim, s);
}

void ForwardPass(const LocalInputs& in, const LocalOutputs& out,
                 Workspace workspace) {
  const Problem& problem = *in.problem;
  const LocalPlan plan = MakeLocalPlan(problem);
  const size_t step = ForwardScratchBytes(problem);
  ParallelFor(
      problem.threads, BlockTasks(problem, plan),
      [&](int64_t task, int thread) HWY_ATTR {
        Arena arena(static_cast<std::byte*>(workspace.data) + thread * step);
        const ForwardScratch s = TakeForwardScratch(problem, &arena);
        const QueryBlock block = BlockOfTask(in, plan, task);
        if (block.rows > 0) ForwardBlock(in, plan, block, out, s);
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {
HWY_EXPORT(ForwardPass);
}  // namespace

size_t SoftmaxForwardBytes(const Problem& problem) {
  if (UsesBf16Softmax(problem)) return Bf16SoftmaxForwardBytes(problem);
  return ForwardScratchBytes(problem) * problem.threads;
}

void SoftmaxForward(const LocalInputs& inputs, const LocalOutputs& outputs,
                    Workspace workspace) {
  if (UsesBf16Softmax(*inputs.problem)) {
    Bf16SoftmaxForward(inputs, outputs, workspace);
    return;
  }
  HWY_DYNAMIC_DISPATCH(ForwardPass)(inputs, outputs, workspace);
}

}  // namespace rattn
#endif  // HWY_ONCE
