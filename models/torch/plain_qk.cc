#include "models/torch/plain_qk.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

namespace rattn {

at::Tensor RmsRows(const at::Tensor& x, double eps) {
  return x / (x.square().mean(-1, /*keepdim=*/true) + eps).sqrt();
}

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
  const at::Tensor c = angle.cos().to(x.options());
  const at::Tensor s = angle.sin().to(x.options());
  const bool interleaved = rope.layout == RopeLayout::kInterleaved;
  const at::Tensor pairs = interleaved
                               ? x.unflatten(-1, {half, 2})
                               : x.unflatten(-1, {2, half}).transpose(-1, -2);
  const at::Tensor a = pairs.select(-1, 0), b = pairs.select(-1, 1);
  const at::Tensor turned = at::stack({a * c - b * s, a * s + b * c}, -1);
  return (interleaved ? turned : turned.transpose(-1, -2)).flatten(-2);
}

BranchInputs PlainInputs(const QkPlan& plan, const at::Tensor& x,
                         const at::Tensor& norm, const at::Tensor& scale,
                         int64_t first_position) {
  at::Tensor local = x, memory = x;
  if (Rotates(plan)) {
    const at::Tensor positions =
        at::arange(first_position, first_position + x.size(1));
    local =
        Rotate(x.transpose(1, 2), plan.positions, positions).transpose(1, 2);
  }
  if (Norms(plan)) local = RmsRows(local, plan.eps) * norm;
  if (plan.norm == QkPlan::Norm::kBefore) memory = local;
  if (plan.memory_scales) memory = memory * scale;
  return {local, memory};
}

Qk PlainQk(const QkPlan& plan, const at::Tensor& qkv, const QkWeights& weights,
           int64_t first_position) {
  const at::Tensor x =
      qkv.scalar_type() == at::kDouble ? qkv : qkv.to(at::kFloat);
  const BranchInputs q =
      PlainInputs(plan, x.narrow(2, 0, plan.query_heads), weights.norm_q,
                  weights.memory_q_scale, first_position);
  const BranchInputs k =
      PlainInputs(plan, x.narrow(2, plan.query_heads, plan.kv_heads),
                  weights.norm_k, weights.memory_k_scale, first_position);
  const auto joined = [&](bool made, const at::Tensor& a, const at::Tensor& b) {
    return made ? at::cat({a, b}, 2).to(qkv.scalar_type()) : at::Tensor();
  };
  return {joined(MakesLocal(plan), q.local, k.local),
          joined(MakesMemory(plan), q.memory, k.memory)};
}

QkWeights PlainQkBackward(const QkPlan& plan, const at::Tensor& qkv,
                          const QkWeights& weights, const Qk& d,
                          at::Tensor& d_qkv) {
  const at::AutoGradMode with_gradients(true);
  std::vector<at::Tensor> inputs;
  const auto leaf = [&](const at::Tensor& t) {
    if (!t.defined()) return t;
    inputs.push_back(t.detach().requires_grad_(true));
    return inputs.back();
  };
  const at::Tensor x = leaf(qkv);
  const QkWeights w{leaf(weights.norm_q), leaf(weights.norm_k),
                    leaf(weights.memory_q_scale), leaf(weights.memory_k_scale)};
  const Qk made = PrepareQk(plan, x, w);
  std::vector<at::Tensor> outputs{made.local}, gradients{d.local};
  if (made.memory.defined()) {
    outputs.push_back(made.memory);
    gradients.push_back(d.memory);
  }
  const std::vector<at::Tensor> found =
      torch::autograd::grad(outputs, inputs, gradients, /*retain_graph=*/false,
                            /*create_graph=*/false, /*allow_unused=*/true);
  const int64_t heads = plan.query_heads + plan.kv_heads;
  d_qkv.narrow(2, 0, heads).copy_(found[0].narrow(2, 0, heads));
  size_t next = 1;
  const auto of = [&](const at::Tensor& weight) {
    return weight.defined() ? found[next++] : at::Tensor();
  };
  QkWeights result;
  result.norm_q = of(weights.norm_q);
  result.norm_k = of(weights.norm_k);
  result.memory_q_scale = of(weights.memory_q_scale);
  result.memory_k_scale = of(weights.memory_k_scale);
  return result;
}

}  // namespace rattn
