#include "models/torch/ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>
#include <optional>

#include "models/torch/plain_ops.h"
#include "models/torch/row_math.h"
#include "models/torch/rows.h"

namespace rattn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls f with a value of the tensor's element type.
template <typename F>
auto WithType(at::ScalarType type, const F& f) {
  switch (type) {
    case at::kDouble:
      return f(double{});
    case at::kBFloat16:
      return f(at::BFloat16{});
    default:
      TORCH_CHECK(type == at::kFloat, "unsupported dtype");
      return f(float{});
  }
}

template <typename T>
void AddRows(const at::Tensor& tokens, const at::Tensor& rows,
             at::Tensor& table) {
  const int64_t width = table.size(1);
  const int32_t* id = tokens.const_data_ptr<int32_t>();
  const T* from = rows.const_data_ptr<T>();
  T* to = table.mutable_data_ptr<T>();
  for (int64_t i = 0; i < tokens.numel(); ++i, from += width) {
    if (id[i] < 0) continue;
    T* row = to + id[i] * width;
    for (int64_t c = 0; c < width; ++c) row[c] += from[c];
  }
}

struct EmbedFunction : torch::autograd::Function<EmbedFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& tokens,
                            const at::Tensor& previous, const at::Tensor& table,
                            const std::optional<at::Tensor>& shift) {
    const at::Tensor shift_table = shift.value_or(at::Tensor());
    ctx->save_for_backward({tokens, previous});
    ctx->saved_data["rows"] = table.size(0);
    ctx->saved_data["shift"] = shift_table.defined();
    const int64_t n = tokens.numel(), width = table.size(1);
    at::Tensor out = at::empty({n, width}, table.options());
    WithType(table.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      const int32_t* id = tokens.const_data_ptr<int32_t>();
      const int32_t* before = previous.const_data_ptr<int32_t>();
      const T* e = table.const_data_ptr<T>();
      const T* s =
          shift_table.defined() ? shift_table.const_data_ptr<T>() : nullptr;
      T* o = out.mutable_data_ptr<T>();
      for (int64_t i = 0; i < n; ++i, o += width) {
        std::copy_n(e + id[i] * width, width, o);
        if (s == nullptr || before[i] < 0) continue;
        const T* row = s + before[i] * width;
        for (int64_t c = 0; c < width; ++c) o[c] += row[c];
      }
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor grad = grads[0].contiguous();
    const int64_t rows = ctx->saved_data["rows"].toInt();
    const auto gather = [&](const at::Tensor& tokens) {
      at::Tensor d = at::zeros({rows, grad.size(1)}, grad.options());
      WithType(grad.scalar_type(),
               [&](auto zero) { AddRows<decltype(zero)>(tokens, grad, d); });
      return d;
    };
    return {
        at::Tensor(), at::Tensor(), gather(saved[0]),
        ctx->saved_data["shift"].toBool() ? gather(saved[1]) : at::Tensor()};
  }
};

template <typename In, typename Out>
void NormRows(const at::Tensor& x, const at::Tensor& weight, double eps,
              at::Tensor& inverse_rms, at::Tensor& out) {
  const int64_t rows = x.size(0), width = x.size(1);
  const In* w = weight.const_data_ptr<In>();
  const In* in = x.const_data_ptr<In>();
  In* inverse = inverse_rms.mutable_data_ptr<In>();
  Out* to = out.mutable_data_ptr<Out>();
  ForRowBlocks(rows, [=](int64_t, int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const In* row = in + r * width;
      Out* o = to + r * width;
      In sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < width; ++c) sum += row[c] * row[c];
      const In scale = 1 / std::sqrt(sum / width + static_cast<In>(eps));
      inverse[r] = scale;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) {
        o[c] = static_cast<Out>(row[c] * scale * w[c]);
      }
    }
  });
}

template <typename In, typename Out>
void NormRowsBackward(const at::Tensor& grad, const at::Tensor& x,
                      const at::Tensor& weight, const at::Tensor& inverse_rms,
                      at::Tensor& dx, at::Tensor& dw) {
  const int64_t rows = x.size(0), width = x.size(1);
  const Out* g = grad.const_data_ptr<Out>();
  const In* w = weight.const_data_ptr<In>();
  const In* in = x.const_data_ptr<In>();
  const In* inverse = inverse_rms.const_data_ptr<In>();
  In* to = dx.mutable_data_ptr<In>();
  BlockSums<In> sums(rows, width);
  ForRowBlocks(rows, [&](int64_t block, int64_t first, int64_t last) {
    In* partial = sums.Of(block);
    for (int64_t r = first; r < last; ++r) {
      const In* row = in + r * width;
      const Out* gr = g + r * width;
      In* d = to + r * width;
      In dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t c = 0; c < width; ++c) {
        dot += row[c] * w[c] * static_cast<In>(gr[c]);
      }
      const In scale = inverse[r];
      const In back = dot * scale * scale * scale / width;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) {
        const In gc = static_cast<In>(gr[c]);
        d[c] = scale * w[c] * gc - back * row[c];
        partial[c] += gc * row[c] * scale;
      }
    }
  });
  sums.AddUp(dw.mutable_data_ptr<In>());
}

// f(In, Out) for the storage types of a norm: fp64 stays fp64.
template <typename F>
void WithNormTypes(at::ScalarType in, at::ScalarType out, const F& f) {
  if (in == at::kDouble) return f(double{}, double{});
  if (out == at::kBFloat16) return f(float{}, at::BFloat16{});
  return f(float{}, float{});
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x,
                            const at::Tensor& weight, double eps,
                            at::ScalarType out_type) {
    at::Tensor inverse = at::empty({x.size(0)}, x.options());
    at::Tensor out = at::empty(x.sizes(), x.options().dtype(out_type));
    WithNormTypes(x.scalar_type(), out_type, [&](auto in, auto o) {
      NormRows<decltype(in), decltype(o)>(x, weight, eps, inverse, out);
    });
    ctx->save_for_backward({x, weight, inverse});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor dx = at::empty_like(saved[0]);
    at::Tensor dw = at::empty_like(saved[1]);
    WithNormTypes(dx.scalar_type(), grad.scalar_type(), [&](auto in, auto o) {
      NormRowsBackward<decltype(in), decltype(o)>(grad, saved[0], saved[1],
                                                  saved[2], dx, dw);
    });
    return {dx, dw, at::Tensor(), at::Tensor()};
  }
};

// Gates are x y(x). Rows computes y of a row in place; Rise is x y'(x).
// Here y = sigmoid(s(x)), from s and its derivative.
template <typename G>
struct SigmoidGate {
  template <typename T>
  static void Rows(T* x, int64_t width) {
    for (int64_t c = 0; c < width; ++c) x[c] = G::Inner(x[c]);
    Sigmoids(x, width);
  }
  template <typename T>
  static T Rise(T x, T y) {
    return x * y * (1 - y) * G::Slope(x);
  }
};
struct Silu : SigmoidGate<Silu> {
  template <typename T>
  static T Inner(T x) {
    return x;
  }
  template <typename T>
  static T Slope(T) {
    return T{1};
  }
};
struct GeluTanh : SigmoidGate<GeluTanh> {
  static constexpr double kScale = 1.5957691216057308;  // 2 sqrt(2 / pi)
  static constexpr double kCubic = 0.044715;
  template <typename T>
  static T Inner(T x) {
    return T(kScale) * (x + T(kCubic) * x * x * x);
  }
  template <typename T>
  static T Slope(T x) {
    return T(kScale) * (T{1} + T(3 * kCubic) * x * x);
  }
};

// y is the normal distribution function.
struct GeluErf {
  template <typename T>
  static void Rows(T* x, int64_t width) {
    for (int64_t c = 0; c < width; ++c) {
      x[c] = std::erfc(-x[c] / std::numbers::sqrt2_v<T>) / 2;
    }
  }
  template <typename T>
  static T Rise(T x, T) {
    constexpr T kPeak =
        std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
    return x * kPeak * std::exp(-x * x / 2);
  }
};

template <typename T, typename S>
void MultiplyGate(const S* __restrict x, const S* __restrict sigmoid,
                  const T* __restrict up, int64_t width, T* __restrict out) {
  for (int64_t c = 0; c < width; ++c) {
    out[c] = static_cast<T>(x[c] * sigmoid[c] * static_cast<S>(up[c]));
  }
}

template <typename G, typename T, typename S>
void MultiplyGateBackward(const S* __restrict x, const S* __restrict sigmoid,
                          const T* __restrict up, const T* __restrict grad,
                          int64_t width, T* __restrict d_gate,
                          T* __restrict d_up) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) {
    const S g = static_cast<S>(grad[c]), y = sigmoid[c];
    const S slope = y + G::Rise(x[c], y);
    d_gate[c] = static_cast<T>(g * static_cast<S>(up[c]) * slope);
    d_up[c] = static_cast<T>(g * x[c] * y);
  }
}

// gate -> x, y(x) of a row, widened.
template <typename G, typename T, typename S>
void LoadGate(const T* gate, int64_t width, S* x, S* sigmoid) {
  for (int64_t c = 0; c < width; ++c) {
    x[c] = sigmoid[c] = static_cast<S>(gate[c]);
  }
  G::Rows(sigmoid, width);
}

template <typename G, typename T>
void GateRows(const at::Tensor& gate_up, at::Tensor& out) {
  using S = SumType<T>;
  const int64_t width = out.size(1);
  const T* in = gate_up.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  ForRowBlocks(out.size(0), [=](int64_t, int64_t first, int64_t last) {
    std::vector<S> x(width), sigmoid(width);
    for (int64_t r = first; r < last; ++r) {
      const T* gate = in + r * 2 * width;
      LoadGate<G>(gate, width, x.data(), sigmoid.data());
      MultiplyGate(x.data(), sigmoid.data(), gate + width, width,
                   to + r * width);
    }
  });
}

template <typename G, typename T>
void GateRowsBackward(const at::Tensor& grad, const at::Tensor& gate_up,
                      at::Tensor& out) {
  using S = SumType<T>;
  const int64_t width = grad.size(1);
  const T* g = grad.const_data_ptr<T>();
  const T* in = gate_up.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  ForRowBlocks(grad.size(0), [=](int64_t, int64_t first, int64_t last) {
    std::vector<S> x(width), sigmoid(width);
    for (int64_t r = first; r < last; ++r) {
      const T* gate = in + r * 2 * width;
      LoadGate<G>(gate, width, x.data(), sigmoid.data());
      T* d = to + r * 2 * width;
      MultiplyGateBackward<G>(x.data(), sigmoid.data(), gate + width,
                              g + r * width, width, d, d + width);
    }
  });
}

// f(gate, element) for a gate and an element type.
template <typename F>
void WithGate(Gate gate, at::ScalarType type, const F& f) {
  WithType(type, [&](auto zero) {
    if (gate == Gate::kSilu) return f(Silu{}, zero);
    if (gate == Gate::kGelu) return f(GeluTanh{}, zero);
    return f(GeluErf{}, zero);
  });
}

struct GatedProductFunction : torch::autograd::Function<GatedProductFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up,
                            int64_t gate) {
    ctx->save_for_backward({gate_up});
    ctx->saved_data["gate"] = gate;
    at::Tensor out =
        at::empty({gate_up.size(0), gate_up.size(1) / 2}, gate_up.options());
    WithGate(Gate(gate), out.scalar_type(), [&](auto g, auto zero) {
      GateRows<decltype(g), decltype(zero)>(gate_up, out);
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0];
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor d = at::empty_like(gate_up);
    WithGate(Gate(ctx->saved_data["gate"].toInt()), d.scalar_type(),
             [&](auto g, auto zero) {
               GateRowsBackward<decltype(g), decltype(zero)>(grad, gate_up, d);
             });
    return {d, at::Tensor()};
  }
};

// Writes the gradient of the mean loss with respect to the logits and returns
// the sum of the rows' losses.
template <typename T>
double LossRows(const at::Tensor& logits, const at::Tensor& targets,
                at::Tensor& gradient) {
  using S = SumType<T>;
  const int64_t rows = logits.size(0), width = logits.size(1);
  const T* in = logits.const_data_ptr<T>();
  const int32_t* target = targets.const_data_ptr<int32_t>();
  T* out = gradient.mutable_data_ptr<T>();
  const S share = S{1} / rows;
  BlockSums<double> losses(rows, 1);
  ForRowBlocks(rows, [&](int64_t block, int64_t first, int64_t last) {
    std::vector<S> e(width);
    for (int64_t r = first; r < last; ++r) {
      const T* row = in + r * width;
      T* d = out + r * width;
      S top = static_cast<S>(row[0]);
#pragma omp simd reduction(max : top)
      for (int64_t c = 0; c < width; ++c) {
        top = std::max(top, static_cast<S>(row[c]));
      }
      for (int64_t c = 0; c < width; ++c) e[c] = static_cast<S>(row[c]) - top;
      Exps(e.data(), width);
      S sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < width; ++c) sum += e[c];
      const int32_t t = target[r];
      *losses.Of(block) +=
          std::log(double{sum}) + double{top} - static_cast<double>(row[t]);
      const S scale = share / sum;
      for (int64_t c = 0; c < width; ++c) d[c] = static_cast<T>(e[c] * scale);
      d[t] = static_cast<T>(e[t] * scale - share);
    }
  });
  double total = 0;
  losses.AddUp(&total);
  return total;
}

struct CrossEntropyFunction : torch::autograd::Function<CrossEntropyFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits,
                            const at::Tensor& targets) {
    at::Tensor gradient = at::empty_like(logits);
    const double total = WithType(logits.scalar_type(), [&](auto zero) {
      return LossRows<decltype(zero)>(logits, targets, gradient);
    });
    ctx->save_for_backward({gradient});
    const at::ScalarType type =
        logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return at::scalar_tensor(total / static_cast<double>(logits.size(0)),
                             logits.options().dtype(type));
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor gradient = ctx->get_saved_variables()[0];
    const double scale = grads[0].item<double>();
    return {scale == 1 ? gradient : gradient * scale, at::Tensor()};
  }
};

}  // namespace

at::Tensor Embed(const at::Tensor& tokens, const at::Tensor& previous,
                 const at::Tensor& table, const at::Tensor& shift_table) {
  if (!table.is_cpu()) {
    return plain::Embed(tokens, previous, table, shift_table);
  }
  return EmbedFunction::apply(tokens, previous, table,
                              std::optional<at::Tensor>(shift_table));
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps,
                   at::ScalarType out) {
  if (!x.is_cpu()) return plain::RmsNorm(x, weight, eps, out);
  return RmsNormFunction::apply(x, weight, eps, out);
}

at::Tensor GatedProduct(const at::Tensor& gate_up, Gate gate) {
  if (!gate_up.is_cpu()) return plain::GatedProduct(gate_up, gate);
  return GatedProductFunction::apply(gate_up, static_cast<int64_t>(gate));
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight) {
  return at::mm(x, weight.to(x.scalar_type()).t());
}

at::Tensor LinearAdd(const at::Tensor& residual, const at::Tensor& x,
                     const at::Tensor& weight) {
  if (residual.scalar_type() == x.scalar_type()) {
    return at::addmm(residual, x, weight.t());
  }
  return residual + Linear(x, weight);
}

at::Tensor MeanCrossEntropy(const at::Tensor& logits,
                            const at::Tensor& targets) {
  if (!logits.is_cpu()) return plain::MeanCrossEntropy(logits, targets);
  return CrossEntropyFunction::apply(logits, targets);
}

}  // namespace rattn
