#include "models/torch/aten_mixer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "kernels/torch/torch_memory.h"
#include "kernels/window.h"

namespace rattn {
namespace {

// All tensors here are [B, H, T, D] (mask forms [.., T, T]).

at::Tensor RmsRows(const at::Tensor& x, double eps) {
  return x / (x.square().mean(-1, /*keepdim=*/true) + eps).sqrt();
}

// RoPE of x with row t at positions[t].
at::Tensor Rotate(const at::Tensor& x, const Positions& rope,
                  const at::Tensor& positions) {
  if (!rope.rope) return x;
  const int64_t dim = x.size(-1), half = dim / 2;
  const at::Tensor index = at::arange(half, at::kDouble);
  const at::Tensor frequency =
      (index * (-2.0 / static_cast<double>(dim)) * std::log(rope.theta)).exp();
  for (int64_t i = 0; i < half; ++i) {
    double& f = frequency.mutable_data_ptr<double>()[i];
    f = ScaledFrequency(rope.scaling, f);
  }
  const at::Tensor angle = positions.to(at::kDouble).unsqueeze(1) * frequency;
  const at::Tensor c = angle.cos().to(x.scalar_type());
  const at::Tensor s = angle.sin().to(x.scalar_type());
  const bool interleaved = rope.layout == RopeLayout::kInterleaved;
  const at::Tensor pairs = interleaved
                               ? x.unflatten(-1, {half, 2})
                               : x.unflatten(-1, {2, half}).transpose(-1, -2);
  const at::Tensor a = pairs.select(-1, 0), b = pairs.select(-1, 1);
  const at::Tensor turned = at::stack({a * c - b * s, a * s + b * c}, -1);
  return (interleaved ? turned : turned.transpose(-1, -2)).flatten(-2);
}

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

// q and k of both branches, [B, T, heads, D], as qk.h defines them.
struct BranchInputs {
  at::Tensor local, memory;
};

BranchInputs MakeInputs(const QkPlan& plan, const at::Tensor& x,
                        const at::Tensor& norm, const at::Tensor& scale) {
  at::Tensor local = x, memory = x;
  if (Rotates(plan)) {
    local = Rotate(x.transpose(1, 2), plan.positions, at::arange(x.size(1)))
                .transpose(1, 2);
  }
  if (Norms(plan)) local = RmsRows(local, plan.eps) * norm;
  if (plan.norm == QkPlan::Norm::kBefore) memory = local;
  if (plan.memory_scales) memory = memory * scale;
  return {local.transpose(1, 2), memory.transpose(1, 2)};
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
      MakeInputs(plan.qk, x.narrow(2, 0, hq), weights.qk.norm_q,
                 weights.qk.memory_q_scale);
  const BranchInputs k =
      MakeInputs(plan.qk, x.narrow(2, hq, hkv), weights.qk.norm_k,
                 weights.qk.memory_k_scale);
  const auto grouped = [&](const at::Tensor& t) {
    return t.repeat_interleave(hq / hkv, 1);
  };
  const at::Tensor v = grouped(x.narrow(2, hq + hkv, hkv).transpose(1, 2));
  at::Tensor local, memory;
  if (HasLocal(plan.problem.spec)) {
    local = Softmax(plan.problem, q.local, grouped(k.local), v);
  }
  if (HasMemory(plan.problem.spec)) {
    memory = LinearMemory(plan.problem, q.memory, grouped(k.memory), v);
  }
  return Combined(plan.problem, weights, local, memory)
      .transpose(1, 2)
      .contiguous()
      .to(qkv.scalar_type());
}

}  // namespace rattn
