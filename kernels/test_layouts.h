// Tests only: all values of a tensor, and tensors in other layouts.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "kernels/tensor_view.h"

namespace rattn {

inline std::vector<double> Values(const TensorView& view) {
  std::vector<double> values;
  for (int64_t i = 0; view && i < view.NumElements(); ++i) {
    int64_t rest = i;
    int64_t at[4];
    for (int axis = 3; axis >= 0; --axis) {
      at[axis] = rest % view.shape[axis];
      rest /= view.shape[axis];
    }
    values.push_back(view.Get(at[0], at[1], at[2], at[3]));
  }
  return values;
}

// Owns copies of tensors in other layouts.
class Layouts {
 public:
  // Axes in the order `order`, outermost first, with gaps between elements of
  // the innermost one.
  TensorView Move(const TensorView& view, const std::array<int, 4>& order,
                  int64_t gap) {
    if (!view) return view;
    TensorView moved = view;
    int64_t stride = gap;
    for (int i = 3; i >= 0; --i) {
      moved.stride[order[i]] = stride;
      // One element more: no axis ends where the next begins.
      stride *= view.shape[order[i]];
      stride += gap;
    }
    storage_.emplace_back(static_cast<size_t>(stride), -7.5);
    moved.data = storage_.back().data();
    const std::vector<double> values = Values(view);
    int64_t at = 0;
    for (int64_t a = 0; a < view.shape[0]; ++a) {
      for (int64_t b = 0; b < view.shape[1]; ++b) {
        for (int64_t c = 0; c < view.shape[2]; ++c) {
          for (int64_t d = 0; d < view.shape[3]; ++d) {
            moved.Set(a, b, c, d, values[static_cast<size_t>(at++)]);
          }
        }
      }
    }
    return moved;
  }

 private:
  std::deque<std::vector<double>> storage_;
};

}  // namespace rattn
