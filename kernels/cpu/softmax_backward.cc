#include "kernels/cpu/bf16_softmax.h"
#include "kernels/cpu/softmax_backward_plan.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_backward.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/softmax_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// delta = dO . O, added up in the order in which GemmNN adds up dP = dO . V:
// where a row sees nearly one key only, both are nearly the same number, and
// their roundings must cancel with them.
inline void RowDeltas(const BackwardCall& call, const QueryBlock& block,
                      const BackwardScratch& s) {
  const TileD d;
  const int64_t dim = call.out.shape[3];
  PackRows(call.in, block, call.out, 1, Rotation::kNone, s.query_rows);
  Transpose(block.padded, dim, s.query_rows, dim, s.query, block.padded);
  for (int64_t c = 0; c < block.padded; c += hn::Lanes(d)) {
    TileV sum = hn::Zero(d);
    for (int64_t i = c; i < dim * block.padded; i += block.padded) {
      sum =
          hn::MulAdd(hn::LoadU(d, s.query + i), hn::LoadU(d, s.d_out + i), sum);
    }
    hn::StoreU(sum, d, s.delta + c);
  }
}

inline void PackGradients(const BackwardCall& call, const QueryBlock& block,
                          const BackwardScratch& s) {
  const int64_t dim = call.d_out.shape[3];
  PackRows(call.in, block, call.d_out, 1, Rotation::kNone, s.d_out_rows);
  Transpose(block.padded, dim, s.d_out_rows, dim, s.d_out, block.padded);
  RowDeltas(call, block, s);
  FillRowPositions(block, s.positions);
  std::fill_n(s.lse, block.padded, -kMinusInfinity);
  float* at = s.lse;
  for (int64_t t = block.begin; t < block.end; ++t) {
    for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++at) {
      const float lse = *call.lse.Row<const float>(block.b, t, h);
      if (lse != kMinusInfinity) *at = lse * kLog2E;
    }
  }
}

inline void PackQuery(const BackwardCall& call, const QueryBlock& block,
                      Rotation rotation, const BackwardScratch& s) {
  const int64_t dim = call.in.q.shape[3];
  const float scale =
      static_cast<float>(LocalScale(*call.in.problem) * M_LOG2E);
  PackRows(call.in, block, call.in.q, scale, rotation, s.query_rows);
  Transpose(block.padded, dim, s.query_rows, dim, s.query, block.padded);
}

// Scores become P = 2^(S - lse), dP becomes dS = P (dP - delta).
template <bool kMasked, bool kCapped>
void GradientTile(const TileMask& mask, float cap, int64_t keys, int64_t padded,
                  const BackwardScratch& s) {
  const TileD d;
  const hn::RebindToSigned<TileD> d32;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t c = 0; c < padded; c += lanes) {
    const auto positions = hn::LoadU(d32, s.positions + c);
    const TileV lse = hn::LoadU(d, s.lse + c);
    const TileV delta = hn::LoadU(d, s.delta + c);
    for (int64_t k = 0; k < keys; ++k) {
      float* score = s.probs + k * padded + c;
      float* grad = s.d_scores + k * padded + c;
      const TileV logit = hn::LoadU(d, score);
      TileV p = Exp2(hn::Sub(logit, lse));
      if constexpr (kMasked) {
        p = hn::IfThenElseZero(VisibleLanes(mask, positions, k), p);
      }
      hn::StoreU(p, d, score);
      TileV slope = p;
      if constexpr (kCapped) {
        const TileV share = hn::Div(logit, hn::Set(d, cap));
        slope = hn::Mul(p, hn::NegMulAdd(share, share, hn::Set(d, 1.0f)));
      }
      hn::StoreU(hn::Mul(slope, hn::Sub(hn::LoadU(d, grad), delta)), d, grad);
    }
  }
}

// Scores become probabilities, d_scores their gradients; `cap`: see Softcap2.
inline void GradientsOfTile(const TileMask& mask, float cap, int64_t keys,
                            int64_t padded, const BackwardScratch& s) {
  if (cap > 0) {
    CapScores(cap, keys * padded, s.probs);
    const auto run =
        mask.needed ? GradientTile<true, true> : GradientTile<false, true>;
    return run(mask, cap, keys, padded, s);
  }
  const auto run =
      mask.needed ? GradientTile<true, false> : GradientTile<false, false>;
  run(mask, cap, keys, padded, s);
}

// One part of a block's keys, into whatever is wanted. dq is overwritten.
inline void AccumulatePart(const BackwardCall& call, const QueryBlock& block,
                           const BlockPart& part, const Accumulators& to,
                           const BackwardScratch& s) {
  const Shape& shape = call.in.problem->shape;
  const int64_t dim = shape.head_dim;
  const int64_t value_dim = shape.value_dim;
  const int64_t padded = block.padded;
  for (int64_t first = part.keys.begin; first < part.keys.end;
       first += kKeyTile) {
    const int64_t keys = std::min(kKeyTile, part.keys.end - first);
    int64_t ldk, ldv;
    const float* k =
        KeyRows(call.in.k, block.b, block.kv_head, first, keys, s.keys, &ldk);
    const float* v =
        KeyRows(call.in.v, block.b, block.kv_head, first, keys, s.values, &ldv);
    GemmNN(keys, padded, dim, k, ldk, s.query, padded, s.probs, padded, false);
    GemmNN(keys, padded, value_dim, v, ldv, s.d_out, padded, s.d_scores, padded,
           false);
    const TileMask mask = MaskOf(block, first, keys, part.window);
    GradientsOfTile(mask, Softcap2(*call.in.problem), keys, padded, s);
    if (to.dv != nullptr) {
      GemmNN(keys, value_dim, block.rows, s.probs, padded, s.d_out_rows,
             value_dim, to.dv + (first - to.first_key) * value_dim, value_dim,
             true);
      GemmNN(keys, dim, block.rows, s.d_scores, padded, s.query_rows, dim,
             to.dk + (first - to.first_key) * dim, dim, true);
    }
    if (to.dq != nullptr) {
      GemmTN(block.rows, dim, keys, s.d_scores, padded, k, ldk, to.dq, dim,
             first > part.keys.begin);
    }
  }
}

inline void StoreQueryGradient(const BackwardCall& call,
                               const QueryBlock& block, Rotation rotation,
                               bool accumulate, float* dq) {
  const int64_t dim = call.in.problem->shape.head_dim;
  const float scale = static_cast<float>(LocalScale(*call.in.problem));
  float* row = dq;
  for (int64_t t = block.begin; t < block.end; ++t) {
    const int64_t position = block.first_position + t - block.begin;
    for (int64_t h = block.heads.begin; h < block.heads.end; ++h, row += dim) {
      ScaleRow(scale, row, dim, row, false);
      RotateQuery(call.in, rotation, position, -1, row);
      StoreRows(row, dim, call.grads.dq, block.b, t, 1, h, accumulate);
    }
  }
}

// The parts of one block whose keys lie in `keys`. Keys of other parts are not
// looked at.
inline void BackwardBlock(const BackwardCall& call, const QueryBlock& block,
                          KeyRange keys, const Accumulators& to,
                          const BackwardScratch& s) {
  const bool wants_query = to.dq != nullptr;
  bool started = false;
  Rotation packed{};
  for (BlockPart part : BlockParts(call.in, call.plan.local, block)) {
    part.keys = {std::max(part.keys.begin, keys.begin),
                 std::min(part.keys.end, keys.end)};
    if (part.keys.size() == 0) continue;
    if (!started) PackGradients(call, block, s);
    if (!started || packed != part.rotation) {
      PackQuery(call, block, part.rotation, s);
      packed = part.rotation;
    }
    AccumulatePart(call, block, part, to, s);
    if (wants_query) {
      StoreQueryGradient(call, block, part.rotation,
                         started || call.grads.accumulate_q, to.dq);
    }
    started = true;
  }
  if (wants_query && !started && !call.grads.accumulate_q) {
    std::fill_n(to.dq, block.rows * call.in.q.shape[3], 0.0f);
    StoreQueryGradient(call, block, Rotation::kNone, false, to.dq);
  }
}

// Gradients of the keys [first, first + count) of one KV head, rotated back,
// into the caller's tensors.
inline void StoreKeyGradients(const BackwardCall& call, int64_t b, int64_t h,
                              int64_t first, int64_t count, float* dk,
                              float* dv) {
  const Shape& shape = call.in.problem->shape;
  for (int64_t j = 0; j < count; ++j) {
    float* row = dk + j * shape.head_dim;
    ScaleRow(kLn2, row, shape.head_dim, row, false);
    if (call.in.rope) RotateRow(call.in.rope, first + j, -1, row);
  }
  StoreRows(dk, shape.head_dim, call.grads.dk, b, first, count, h,
            call.grads.accumulate_k);
  StoreRows(dv, shape.value_dim, call.grads.dv, b, first, count, h,
            call.grads.accumulate_v);
}

// Blocks of queries [begin, end) of one KV head onto the keys `keys`.
inline void BackwardQueries(const BackwardCall& call, int64_t b, int64_t h,
                            int64_t begin, int64_t end, KeyRange keys,
                            const Accumulators& to, const BackwardScratch& s) {
  const Shape& shape = call.in.problem->shape;
  std::fill_n(to.dk, keys.size() * shape.head_dim, 0.0f);
  std::fill_n(to.dv, keys.size() * shape.value_dim, 0.0f);
  for (int64_t index = begin; index < end; ++index) {
    const QueryBlock block = MakeBlock(call.in, call.plan.local, b, h, index);
    if (block.rows > 0) BackwardBlock(call, block, keys, to, s);
  }
}

// All queries that see one block of keys.
inline void KeyBlockTask(const BackwardCall& call, int64_t task,
                         const BackwardScratch& s) {
  const Shape& shape = call.in.problem->shape;
  const LocalPlan& local = call.plan.local;
  const int64_t head = task / call.plan.key_blocks;
  const int64_t b = head / shape.kv_heads;
  const int64_t h = head % shape.kv_heads;
  const int64_t skipped = call.plan.single_pass ? 0 : local.sinks;
  KeyRange keys;
  keys.begin = skipped + task % call.plan.key_blocks * kKeyBlock;
  keys.end = std::min(keys.begin + kKeyBlock, shape.key_len);
  int64_t first_block = 0;
  int64_t last_block = local.blocks;
  if (!call.plan.single_pass) {
    const KeyRange seen = {
        keys.begin, SeenByRange(keys.end - 1, local.window, shape.key_len).end};
    const auto query = [&](int64_t position) {
      return std::clamp<int64_t>(position - call.in.first_position, 0,
                                 shape.query_len);
    };
    first_block = query(seen.begin) / local.positions;
    last_block = (query(seen.end) + local.positions - 1) / local.positions;
  }
  const Accumulators to = {call.plan.single_pass ? s.dq : nullptr, s.dk, s.dv,
                           keys.begin};
  BackwardQueries(call, b, h, first_block, last_block, keys, to, s);
  StoreKeyGradients(call, b, h, keys.begin, keys.size(), s.dk, s.dv);
}

void BackwardPasses(const BackwardCall& call, const SinkPartials& partials,
                    std::byte* scratch) {
  const Problem& problem = *call.in.problem;
  const Shape& shape = problem.shape;
  const BackwardPlan& plan = call.plan;
  const int64_t heads = shape.batch * shape.kv_heads;
  const size_t step = BackwardScratchBytes(problem);
  const auto own = [&](int thread) {
    Arena arena(scratch + thread * step);
    return TakeBackwardScratch(problem, &arena);
  };
  ParallelFor(problem.threads, heads * plan.key_blocks,
              [&](int64_t task, int thread)
                  HWY_ATTR { KeyBlockTask(call, task, own(thread)); });
  if (plan.single_pass) return;
  ParallelFor(problem.threads, BlockTasks(problem, plan.local),
              [&](int64_t task, int thread) HWY_ATTR {
                const BackwardScratch s = own(thread);
                const QueryBlock block = BlockOfTask(call.in, plan.local, task);
                const KeyRange all = {0, shape.key_len};
                if (block.rows == 0) return;
                BackwardBlock(call, block, all, {.dq = s.dq}, s);
              });
  if (plan.segments == 0) return;
  const int64_t sinks = std::min(plan.local.sinks, shape.key_len);
  ParallelFor(
      problem.threads, heads * plan.segments,
      [&](int64_t task, int thread) HWY_ATTR {
        const int64_t head = task / plan.segments;
        const int64_t begin = task % plan.segments * plan.segment_blocks;
        const int64_t end =
            std::min(begin + plan.segment_blocks, plan.local.blocks);
        const Accumulators to = {
            nullptr, partials.dk + task * plan.local.sinks * shape.head_dim,
            partials.dv + task * plan.local.sinks * shape.value_dim, 0};
        BackwardQueries(call, head / shape.kv_heads, head % shape.kv_heads,
                        begin, end, {0, sinks}, to, own(thread));
      });
  const auto sum = [&](float* first, int64_t size, int64_t stride) HWY_ATTR {
    for (int64_t i = 1; i < plan.segments; ++i) {
      ScaleRow(1, first + i * stride, size, first, true);
    }
  };
  ParallelFor(problem.threads, heads, [&](int64_t head, int) HWY_ATTR {
    const int64_t dk_stride = plan.local.sinks * shape.head_dim;
    const int64_t dv_stride = plan.local.sinks * shape.value_dim;
    float* dk = partials.dk + head * plan.segments * dk_stride;
    float* dv = partials.dv + head * plan.segments * dv_stride;
    sum(dk, sinks * shape.head_dim, dk_stride);
    sum(dv, sinks * shape.value_dim, dv_stride);
    StoreKeyGradients(call, head / shape.kv_heads, head % shape.kv_heads, 0,
                      sinks, dk, dv);
  });
}

// The sink logit enters the denominator only: its gradient is minus its share
// of the probability times dO . O, summed in one order.
void SinkLogitPass(const BackwardCall& call, const TensorView& d_sink_logit,
                   std::byte* scratch) {
  const Problem& problem = *call.in.problem;
  const Shape& shape = problem.shape;
  const size_t step = BackwardScratchBytes(problem);
  const HeadRange local = LocalHeads(problem.spec, shape.query_heads);
  ParallelFor(
      problem.threads, shape.query_heads, [&](int64_t h, int thread) HWY_ATTR {
        float* row = reinterpret_cast<float*>(scratch + thread * step);
        double sum = 0;
        const double logit = call.in.sink_logit.Get(0, 0, 0, h);
        const bool used =
            h >= local.begin && h < local.end && logit != kMinusInfinity;
        for (int64_t b = 0; used && b < shape.batch; ++b) {
          for (int64_t t = 0; t < shape.query_len; ++t) {
            LoadRows(call.d_out, b, t, 1, h, 1, row, shape.value_dim);
            sum -=
                std::exp(logit - call.lse.Get(b, t, h, 0)) *
                Dot(call.out.Row<const float>(b, t, h), row, shape.value_dim);
          }
        }
        d_sink_logit.Set(0, 0, 0, h, sum);
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {
HWY_EXPORT(BackwardPasses);
HWY_EXPORT(SinkLogitPass);
}  // namespace

size_t SoftmaxBackwardBytes(const Problem& problem) {
  const size_t bytes = BytesOf([&](Arena* arena) {
    TakeSinkPartials(problem, arena);
    arena->Take<std::byte>(BackwardScratchBytes(problem) * problem.threads);
  });
  if (!UsesBf16SoftmaxBackward(problem)) return bytes;
  return std::max(bytes, Bf16SoftmaxBackwardBytes(problem));
}

void SoftmaxBackward(const LocalInputs& inputs, const Buffers& buffers,
                     const TensorView& out, const TensorView& d_out,
                     const BranchGrads& grads, Workspace workspace) {
  const Problem& problem = *inputs.problem;
  Arena arena(workspace.data);
  const SinkPartials partials = TakeSinkPartials(problem, &arena);
  std::byte* scratch =
      arena.Take<std::byte>(BackwardScratchBytes(problem) * problem.threads);
  const BackwardCall call = {
      inputs, MakeBackwardPlan(problem), buffers.lse, out, d_out, grads};
  if (UsesBf16SoftmaxBackward(problem)) {
    Bf16SoftmaxBackward(inputs, buffers.lse, out, d_out, grads, workspace);
  } else {
    HWY_DYNAMIC_DISPATCH(BackwardPasses)(call, partials, scratch);
  }
  if (buffers.d_sink_logit && buffers.sink_logit) {
    HWY_DYNAMIC_DISPATCH(SinkLogitPass)(call, buffers.d_sink_logit, scratch);
  }
}

}  // namespace rattn
#endif  // HWY_ONCE
