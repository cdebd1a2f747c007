// Changes of the rotary frequencies that let a model read longer texts.
#pragma once

#include <numbers>

namespace rattn {

// kLinear: every frequency divided by `factor` (arXiv 2306.15595, section 3.2).
// kLlama3: only those whose wave is longer than original_length /
// low_frequency_factor tokens; waves shorter than original_length /
// high_frequency_factor stay, between the two it blends (Llama 3.1, as
// published with its weights).
enum class RopeScalingKind { kNone, kLinear, kLlama3 };

struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_length = 8192;  // tokens
};

// `frequency`: radians per token.
inline double ScaledFrequency(const RopeScaling& scaling, double frequency) {
  switch (scaling.kind) {
    case RopeScalingKind::kNone:
      return frequency;
    case RopeScalingKind::kLinear:
      return frequency / scaling.factor;
    case RopeScalingKind::kLlama3:
      break;
  }
  const double waves =
      scaling.original_length * frequency / (2 * std::numbers::pi);
  if (waves < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (waves > scaling.high_frequency_factor) return frequency;
  const double keep =
      (waves - scaling.low_frequency_factor) /
      (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - keep) * frequency / scaling.factor + keep * frequency;
}

}  // namespace rattn
