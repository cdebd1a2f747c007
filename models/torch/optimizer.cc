#include "models/torch/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rattn {

namespace {
constexpr double kAdamEpsilon = 1e-8;
}  // namespace

double LearningRate(const TrainOptions& options, int64_t step) {
  const double steps = static_cast<double>(options.steps);
  const double warmup = std::floor(options.warmup * steps);
  const double at = static_cast<double>(step);
  if (at < warmup) return options.lr * (at + 1) / warmup;
  const double progress = (at - warmup) / std::max(1.0, steps - warmup);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * progress));
  return options.lr * (options.lr_end + (1 - options.lr_end) * cosine);
}

AdamW::AdamW(const TrainOptions& options, int64_t decayed_elements,
             int64_t total_elements, at::Device device)
    : options_(options),
      decayed_(decayed_elements),
      first_(at::zeros({total_elements}, at::device(device))),
      second_(at::zeros({total_elements}, at::device(device))) {}

double AdamW::Step(int64_t step, at::Tensor& parameters,
                   at::Tensor& gradients) {
  const double norm = at::linalg_vector_norm(gradients).item<double>();
  if (options_.clip > 0 && norm > options_.clip) {
    gradients.mul_(options_.clip / norm);
  }
  const at::Tensor count = at::full({}, step + 1, parameters.options());
  const auto update = [&](int64_t begin, int64_t end, double weight_decay) {
    if (begin == end) return;
    const auto part = [&](const at::Tensor& t) {
      return t.narrow(0, begin, end - begin);
    };
    at::_fused_adamw_({part(parameters)}, {part(gradients)}, {part(first_)},
                      {part(second_)}, {}, {count},
                      LearningRate(options_, step), options_.beta1,
                      options_.beta2, weight_decay, kAdamEpsilon,
                      /*amsgrad=*/false, /*maximize=*/false);
  };
  update(0, decayed_, options_.weight_decay);
  update(decayed_, parameters.size(0), 0);
  return norm;
}

}  // namespace rattn
