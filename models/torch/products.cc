#include "models/torch/products.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace rattn {
namespace {

namespace blas = at::native::cpublas;

constexpr int64_t kBlockRows = 32;
// Plain products: columns of a task, and the rows below which libraries
// switch to kernels that sum in another order.
constexpr int64_t kTaskColumns = 256;
constexpr int64_t kLeastRows = 4;

// LibTorch throws where the processor lacks what its kernels need.
bool ProbeFloatPanels() {
  try {
    const std::vector<float> a(kBlockRows, 1.0f), b(kPanelColumns, 1.0f);
    std::vector<float> c(kBlockRows * kPanelColumns);
    blas::brgemm(kBlockRows, kPanelColumns, 1, 1, kPanelColumns, kPanelColumns,
                 false, a.data(), b.data(), c.data(), false);
    blas::brgemm_release(false);
    return c.front() == 1 && c.back() == 1;
  } catch (const c10::Error&) {
    return false;
  }
}

// bf16 panels pay only where the matrix unit reads them in pairs of rows.
bool PairsRows(at::ScalarType dtype) {
  return dtype == at::kBFloat16 && blas::could_pack(dtype);
}

template <typename T>
void MultiplyPanel(const T* x, int64_t rows, int64_t depth, const T* panel,
                   int64_t columns, int64_t width, float* out) {
  constexpr bool kPairs = std::is_same_v<T, at::BFloat16>;
  float edge[kBlockRows * kPanelColumns];
  for (int64_t r = 0; r < rows; r += kBlockRows) {
    const int64_t block = std::min(kBlockRows, rows - r);
    const bool whole = columns == kPanelColumns;
    float* to = whole ? out + r * width : edge;
    blas::brgemm(block, kPanelColumns, depth, depth, kPanelColumns,
                 whole ? width : kPanelColumns, false, x + r * depth, panel, to,
                 kPairs);
    for (int64_t i = 0; !whole && i < block; ++i) {
      std::copy_n(edge + i * kPanelColumns, columns, out + (r + i) * width);
    }
  }
}

template <typename T>
at::Tensor PanelProduct(const at::Tensor& x, const at::Tensor& panels,
                        int64_t width) {
  const int64_t rows = x.size(0), depth = x.size(1);
  at::Tensor out = at::empty({rows, width}, x.options().dtype(at::kFloat));
  const T* in = x.const_data_ptr<T>();
  const T* weight = panels.const_data_ptr<T>();
  float* to = out.mutable_data_ptr<float>();
  at::parallel_for(0, panels.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kPanelColumns;
      MultiplyPanel(in, rows, depth, weight + first * depth,
                    std::min(kPanelColumns, width - first), width, to + first);
    }
    blas::brgemm_release(std::is_same_v<T, at::BFloat16>);
  });
  return out;
}

at::Tensor PlainProduct(const at::Tensor& x, const at::Tensor& weight,
                        int64_t width) {
  const int64_t rows = x.size(0);
  const bool pads = x.scalar_type() == at::kFloat && rows < kLeastRows;
  const at::Tensor in =
      pads ? at::constant_pad_nd(x, {0, 0, 0, kLeastRows - rows}) : x;
  at::Tensor out = at::empty({in.size(0), width}, x.options());
  const int64_t tasks = (width + kTaskColumns - 1) / kTaskColumns;
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    const c10::InferenceMode inference;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task * kTaskColumns;
      const int64_t columns = std::min(kTaskColumns, width - first);
      out.narrow(1, first, columns)
          .copy_(at::mm(in, weight.narrow(0, first, columns).t()));
    }
  });
  return pads ? out.narrow(0, 0, rows) : out;
}

at::Tensor PackMatrix(const at::Tensor& weight) {
  const int64_t width = weight.size(0), depth = weight.size(1);
  const int64_t panels = (width + kPanelColumns - 1) / kPanelColumns;
  const at::ScalarType dtype = weight.scalar_type();
  at::Tensor packed = at::empty({panels, depth, kPanelColumns}, dtype);
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t first = p * kPanelColumns;
    const int64_t columns = std::min(kPanelColumns, width - first);
    at::Tensor panel = at::zeros({depth, kPanelColumns}, dtype);
    panel.narrow(1, 0, columns).copy_(weight.narrow(0, first, columns).t());
    at::Tensor to = packed[p];
    if (PairsRows(dtype)) {
      blas::pack(depth, kPanelColumns, kPanelColumns, kPanelColumns, dtype,
                 dtype, panel.const_data_ptr(), to.mutable_data_ptr());
    } else {
      to.copy_(panel);
    }
  }
  return packed;
}

}  // namespace

bool HasPanelKernels(at::ScalarType dtype) {
  static const bool floats = ProbeFloatPanels();
  return dtype == at::kFloat ? floats : floats && PairsRows(dtype);
}

at::Tensor PackPanels(const at::Tensor& weight) {
  // Pairs of rows need an even depth.
  if (!HasPanelKernels(weight.scalar_type()) || weight.size(-1) % 2 != 0) {
    return weight;
  }
  if (weight.dim() == 2) return PackMatrix(weight);
  std::vector<at::Tensor> experts;
  for (int64_t e = 0; e < weight.size(0); ++e) {
    experts.push_back(PackMatrix(weight[e]));
  }
  return at::stack(experts);
}

at::Tensor Product(const at::Tensor& x, const at::Tensor& weight,
                   int64_t width) {
  if (weight.dim() == 2) return PlainProduct(x, weight, width);
  return x.scalar_type() == at::kBFloat16
             ? PanelProduct<at::BFloat16>(x, weight, width)
             : PanelProduct<float>(x, weight, width);
}

}  // namespace rattn
