#include "models/torch/plain_ops.h"

#include <ATen/ATen.h>

namespace rattn::plain {
namespace {

at::Tensor Wide(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

at::Tensor Activation(const at::Tensor& x, Gate gate) {
  if (gate == Gate::kSilu) return at::silu(x);
  return at::gelu(x, gate == Gate::kGelu ? "tanh" : "none");
}

}  // namespace

at::Tensor Embed(const at::Tensor& tokens, const at::Tensor& previous,
                 const at::Tensor& table, const at::Tensor& shift_table) {
  const at::Tensor rows = at::embedding(table, tokens);
  if (!shift_table.defined()) return rows;
  const at::Tensor present =
      previous.ge(0).to(shift_table.scalar_type()).unsqueeze(1);
  return rows + at::embedding(shift_table, previous.clamp_min(0)) * present;
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps,
                   at::ScalarType out) {
  const at::Tensor scale = (x.square().mean(1, /*keepdim=*/true) + eps).rsqrt();
  return (x * scale * weight).to(out);
}

at::Tensor GatedProduct(const at::Tensor& gate_up, Gate gate) {
  const at::Tensor x = Wide(gate_up);
  const int64_t width = x.size(1) / 2;
  return (Activation(x.narrow(1, 0, width), gate) * x.narrow(1, width, width))
      .to(gate_up.scalar_type());
}

at::Tensor MeanCrossEntropy(const at::Tensor& logits,
                            const at::Tensor& targets) {
  return at::cross_entropy_loss(Wide(logits), targets.to(at::kLong));
}

}  // namespace rattn::plain
