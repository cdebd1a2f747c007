#include "kernels/torch/torch_rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>

#include <cmath>

namespace rattn {

at::Tensor RotateRows(const Positions& positions, const at::Tensor& x,
                      int64_t first, bool inverse) {
  if (!positions.rope) return x;
  const int64_t length = x.size(2), half = x.size(3) / 2;
  const at::Tensor frequency =
      at::exp(at::arange(half, at::kDouble) *
              (-std::log(positions.theta) / static_cast<double>(half)));
  for (int64_t i = 0; i < half; ++i) {
    double& f = frequency.mutable_data_ptr<double>()[i];
    f = ScaledFrequency(positions.scaling, f);
  }
  const at::Tensor angle =
      at::outer(at::arange(first, first + length, at::kDouble), frequency);
  const at::Tensor cos = at::cos(angle).to(at::kFloat);
  const at::Tensor sin =
      (inverse ? -at::sin(angle) : at::sin(angle)).to(at::kFloat);
  const at::Tensor wide = x.to(at::kFloat);
  if (positions.layout == RopeLayout::kHalfSplit) {
    const at::Tensor a = wide.narrow(3, 0, half);
    const at::Tensor b = wide.narrow(3, half, half);
    return at::cat({a * cos - b * sin, b * cos + a * sin}, 3)
        .to(x.scalar_type());
  }
  const at::Tensor pairs = wide.unflatten(3, {half, 2});
  const at::Tensor a = pairs.select(4, 0), b = pairs.select(4, 1);
  return at::stack({a * cos - b * sin, b * cos + a * sin}, 4)
      .flatten(3)
      .to(x.scalar_type());
}

}  // namespace rattn
