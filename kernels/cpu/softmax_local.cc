#include <array>
#include <limits>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/softmax_attention.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_local.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/softmax_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

void RotatePass(const Problem& problem, const TensorView& in,
                const RopeTable& table, float sign, const TensorView& out) {
  const int64_t length = in.shape[1];
  const int64_t blocks = (length + kKeyTile - 1) / kKeyTile;
  ParallelFor(problem.threads, in.shape[0] * blocks,
              [&](int64_t task, int) HWY_ATTR {
                const int64_t b = task / blocks;
                const int64_t begin = task % blocks * kKeyTile;
                const int64_t end = std::min(begin + kKeyTile, length);
                for (int64_t t = begin; t < end; ++t) {
                  for (int64_t h = 0; h < in.shape[2]; ++h) {
                    float* row = out.Row<float>(b, t, h);
                    LoadRows(in, b, t, 1, h, 1, row, in.shape[3]);
                    RotateRow(table, table.begin + t, sign, row);
                  }
                }
              });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {
HWY_EXPORT(RotatePass);
}  // namespace

void RotateRows(const Problem& problem, const TensorView& in,
                const RopeTable& table, float sign, const TensorView& out) {
  HWY_DYNAMIC_DISPATCH(RotatePass)(problem, in, table, sign, out);
}

PreparedLocal TakeLocal(const Problem& problem, const Buffers& buffers,
                        int64_t key_begin, Arena* arena) {
  const Shape& shape = problem.shape;
  PreparedLocal prepared;
  LocalInputs& in = prepared.inputs;
  in.problem = &problem;
  in.q = buffers.q;
  in.sink_logit = buffers.sink_logit;
  in.k = {.view = buffers.k, .begin = key_begin};
  in.v = {.view = buffers.v, .begin = key_begin, .values = true};
  in.first_position = key_begin + shape.key_len - shape.query_len;
  if (!problem.positions.rope) return prepared;
  prepared.rope = TakeRope(problem, key_begin, shape.key_len, arena);
  in.rope = prepared.rope.table;
  if (MakeLocalPlan(problem).slot_sinks) {
    const int64_t last =
        SinkQueryPosition(problem.spec.local, kUnboundedWindow);
    prepared.sink_rope = TakeRope(problem, last, 1, arena);
    in.sink_rope = prepared.sink_rope.table;
  }
  const std::array<int64_t, 4> keys = {shape.batch, shape.key_len,
                                       shape.kv_heads, shape.head_dim};
  // [B, Hkv, Tk, D] in memory: a tile of one head is contiguous.
  in.k.view = {arena->Take<float>(keys[0] * keys[1] * keys[2] * keys[3]),
               Dtype::kF32,
               keys,
               {keys[2] * keys[1] * keys[3], keys[3], keys[1] * keys[3], 1}};
  return prepared;
}

void FillLocal(const Problem& problem, const Buffers& buffers,
               const PreparedLocal& prepared) {
  if (!problem.positions.rope) return;
  FillRope(problem, prepared.rope);
  if (prepared.sink_rope.table) FillRope(problem, prepared.sink_rope);
  RotateRows(problem, buffers.k, prepared.inputs.rope, 1,
             prepared.inputs.k.view);
}

void LocalForward(const Problem& problem, const Buffers& buffers,
                  TensorView out, TensorView lse, TensorView max_logits,
                  Workspace workspace) {
  const int64_t heads = problem.shape.query_heads;
  const HeadRange others = {LocalHeads(problem.spec, heads).end, heads};
  for (const TensorView& rows : {lse, max_logits}) {
    if (rows && others.size() > 0) {
      FillHeads(rows, others, -std::numeric_limits<float>::infinity(),
                problem.threads);
    }
  }
  Arena arena(workspace.data);
  const PreparedLocal prepared = TakeLocal(problem, buffers, 0, &arena);
  FillLocal(problem, buffers, prepared);
  SoftmaxForward(prepared.inputs, {out, lse, max_logits},
                 arena.Rest(workspace));
}

void LocalBackward(const Problem& problem, const Buffers& buffers,
                   TensorView out, TensorView d_out, const BranchGrads& grads,
                   Workspace workspace) {
  Arena arena(workspace.data);
  const PreparedLocal prepared = TakeLocal(problem, buffers, 0, &arena);
  FillLocal(problem, buffers, prepared);
  SoftmaxBackward(prepared.inputs, buffers, out, d_out, grads,
                  arena.Rest(workspace));
}

size_t LocalScratchBytes(const Problem& problem) {
  const size_t prepared =
      BytesOf([&](Arena* arena) { TakeLocal(problem, Buffers{}, 0, arena); });
  const size_t backward =
      problem.phase == Phase::kTrain ? SoftmaxBackwardBytes(problem) : 0;
  return prepared + std::max(SoftmaxForwardBytes(problem), backward);
}

}  // namespace rattn
#endif  // HWY_ONCE
