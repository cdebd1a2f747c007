#include "harness/tensor.h"

#include <cmath>
#include <limits>

#include "kernels/random.h"

namespace rattn {
namespace {

// Calls f(i0, i1, i2) for every row, on all threads.
template <typename F>
void ForRows(const TensorView& view, const F& f) {
  const int64_t n0 = view.shape[0], n1 = view.shape[1], n2 = view.shape[2];
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < n0 * n1 * n2; ++row) {
    f(row / (n1 * n2), row / n2 % n1, row % n2);
  }
}

}  // namespace

Tensor MakeTensor(Dtype dtype, std::array<int64_t, 4> shape) {
  Tensor tensor;
  size_t bytes = ByteSize(dtype);
  for (const int64_t n : shape) bytes *= static_cast<size_t>(n);
  tensor.bytes = AlignedBuffer(bytes);
  tensor.view = Contiguous(tensor.bytes.data(), dtype, shape);
  return tensor;
}

Tensor RandomTensor(Dtype dtype, std::array<int64_t, 4> shape, uint64_t seed,
                    uint64_t stream) {
  Tensor tensor = MakeTensor(dtype, shape);
  const Philox random(seed, stream);
  const TensorView& view = tensor.view;
  ForRows(view, [&](int64_t i0, int64_t i1, int64_t i2) {
    for (int64_t i3 = 0; i3 < shape[3]; ++i3) {
      view.Set(i0, i1, i2, i3, random.Normal(view.Offset(i0, i1, i2, i3)));
    }
  });
  return tensor;
}

TensorView Slice(const TensorView& view, int axis, int64_t begin,
                 int64_t size) {
  TensorView part = view;
  part.shape[axis] = size;
  part.data =
      static_cast<char*>(view.data) +
      begin * view.stride[axis] * static_cast<int64_t>(ByteSize(view.dtype));
  return part;
}

Tensor ToF64(const TensorView& view) {
  Tensor copy = MakeTensor(Dtype::kF64, view.shape);
  ForRows(view, [&](int64_t i0, int64_t i1, int64_t i2) {
    for (int64_t i3 = 0; i3 < view.shape[3]; ++i3) {
      copy.view.Set(i0, i1, i2, i3, view.Get(i0, i1, i2, i3));
    }
  });
  return copy;
}

double RelativeRmse(const TensorView& a, const TensorView& b) {
  double error = 0, norm = 0;
  for (int64_t i0 = 0; i0 < b.shape[0]; ++i0) {
    for (int64_t i1 = 0; i1 < b.shape[1]; ++i1) {
      for (int64_t i2 = 0; i2 < b.shape[2]; ++i2) {
        for (int64_t i3 = 0; i3 < b.shape[3]; ++i3) {
          const double x = a.Get(i0, i1, i2, i3), y = b.Get(i0, i1, i2, i3);
          error += (x - y) * (x - y);
          norm += y * y;
        }
      }
    }
  }
  if (!std::isfinite(error) || !std::isfinite(norm)) {
    return std::numeric_limits<double>::infinity();
  }
  if (norm == 0)
    return error == 0 ? 0 : std::numeric_limits<double>::infinity();
  return std::sqrt(error / norm);
}

}  // namespace rattn
