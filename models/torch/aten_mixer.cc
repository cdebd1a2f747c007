#include "models/torch/aten_mixer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "kernels/torch/torch_memory.h"
#include "kernels/window.h"
#include "models/torch/plain_qk.h"

namespace rattn {
namespace {

// All tensors here are [B, H, T, D] (mask forms [.., T, T]).

// [T, T] of visible(i, j).
template <typename Visible>
at::Tensor Mask(int64_t length, const Visible& visible) {
  at::Tensor mask = at::zeros({length, length}, at::kBool);
  bool* at = mask.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < length; ++j) at[i * length + j] = visible(i, j);
  }
  return mask;
}

at::Tensor Softmax(const Problem& p, const at::Tensor& q, const at::Tensor& k,
                   const at::Tensor& v) {
  const LocalSpec& local = p.spec.local;
  const Positions& rope = p.positions;
  const int64_t length = q.size(2);
  const at::Tensor positions = at::arange(length);
  const at::Tensor keys = Rotate(k, rope, positions).transpose(-1, -2);
  at::Tensor scores = at::matmul(Rotate(q, rope, positions), keys);
  const int64_t sinks = std::min(SinkCount(local), length);
  if (sinks > 0) {
    at::Tensor from_sinks = positions.clone();
    for (int64_t i = 0; i < length; ++i) {
      from_sinks[i] = SinkQueryPosition(local, i);
    }
    const at::Tensor sink_scores =
        at::matmul(Rotate(q, rope, from_sinks), keys);
    scores = at::cat({sink_scores.narrow(-1, 0, sinks),
                      scores.narrow(-1, sinks, length - sinks)},
                     -1);
  }
  const double scale = p.local_scale != 0
                           ? p.local_scale
                           : 1 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor hidden = Mask(
      length, [&](int64_t i, int64_t j) { return !LocalVisible(local, i, j); });
  scores = scores * scale;
  if (const double cap = p.local_softcap; cap > 0) {
    scores = (scores / cap).tanh() * cap;
  }
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  return at::matmul(scores.softmax(-1), v);
}

at::Tensor LinearMemory(const Problem& p, const at::Tensor& q,
                        const at::Tensor& k, const at::Tensor& v) {
  const FeatureMap map = p.spec.memory.feature_map;
  const at::Tensor mask = Mask(q.size(2), [&](int64_t i, int64_t j) {
    return MemoryVisible(p.spec, i, j);
  });
  const at::Tensor scores = at::matmul(MapFeatures(map, q) * p.memory_scale,
                                       MapFeatures(map, k).transpose(-1, -2)) *
                            mask;
  at::Tensor o = at::matmul(scores, v);
  if (p.spec.memory.normalizer == Normalizer::kSum) {
    o = o / (scores.sum(-1, /*keepdim=*/true) + kNormalizerEpsilon);
  }
  return o;
}

at::Tensor Combined(const Problem& p, const MixerWeights& w, at::Tensor local,
                    at::Tensor memory) {
  const auto normed = [&](const at::Tensor& o, const at::Tensor& scale) {
    return RmsRows(o, kNormEpsilon) * scale.unsqueeze(1);
  };
  if (UsesNorms(p.spec)) {
    if (local.defined()) local = normed(local, w.norm_local);
    if (memory.defined()) memory = normed(memory, w.norm_memory);
  }
  if (!memory.defined()) return local;
  if (!local.defined()) return memory;
  switch (p.spec.combine) {
    case Combine::kSum:
    case Combine::kSumOfNorms:
      return local + memory;
    case Combine::kMeanOfNorms:
      return (local + memory) / 2;
    case Combine::kSplitHeads: {
      const int64_t half = local.size(1) / 2;
      return at::cat({local.narrow(1, 0, half),
                      memory.narrow(1, half, local.size(1) - half)},
                     1);
    }
  }
  return local;
}

}  // namespace

at::Tensor AtenMix(const MixerPlan& plan, const MixerWeights& weights,
                   const at::Tensor& qkv) {
  const Shape& shape = plan.problem.shape;
  const at::ScalarType wide =
      qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor x = qkv.to(wide);
  const int64_t hq = shape.query_heads, hkv = shape.kv_heads;
  const BranchInputs q =
      PlainInputs(plan.qk, x.narrow(2, 0, hq), weights.qk.norm_q,
                  weights.qk.memory_q_scale, 0);
  const BranchInputs k =
      PlainInputs(plan.qk, x.narrow(2, hq, hkv), weights.qk.norm_k,
                  weights.qk.memory_k_scale, 0);
  const auto grouped = [&](const at::Tensor& t) {
    return t.transpose(1, 2).repeat_interleave(hq / hkv, 1);
  };
  const at::Tensor v = grouped(x.narrow(2, hq + hkv, hkv));
  at::Tensor local, memory;
  if (HasLocal(plan.problem.spec)) {
    local = Softmax(plan.problem, q.local.transpose(1, 2), grouped(k.local), v);
  }
  if (HasMemory(plan.problem.spec)) {
    memory = LinearMemory(plan.problem, q.memory.transpose(1, 2),
                          grouped(k.memory), v);
  }
  return Combined(plan.problem, weights, local, memory)
      .transpose(1, 2)
      .contiguous()
      .to(qkv.scalar_type());
}

}  // namespace rattn
