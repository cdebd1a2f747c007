// Mixers as LibTorch operators: torch.ops.rattn.mixer(q, k, v, "rattention",
// 512, ...) once this library is loaded, from C++ or Python, with gradients:
// on the CPU by the cpu backend, on a GPU by the cuda backend, with shapes only
// on meta tensors. cu_seqlens: offsets of sequences packed along the tokens of
// a batch of 1 (Problem::cu_seqlens), any integers, read on the host.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <tuple>

#include "kernels/backend.h"
#include "kernels/catalog.h"
#include "kernels/torch/tensor_calls.h"
#include "kernels/torch/tensor_views.h"

namespace rattn {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kSchema =
    "mixer(Tensor q, Tensor k, Tensor v, str variant, int window=0, "
    "int sinks=-1, Tensor? norm_local=None, Tensor? norm_memory=None, "
    "float rope_theta=0, Tensor? cu_seqlens=None) -> Tensor";
constexpr const char* kForwardSchema =
    "mixer_forward(Tensor q, Tensor k, Tensor v, str variant, int window, "
    "int sinks, Tensor? norm_local, Tensor? norm_memory, float rope_theta, "
    "bool train, Tensor? cu_seqlens=None) -> "
    "(Tensor o, Tensor lse, Tensor o_local, Tensor o_memory)";
constexpr const char* kBackwardSchema =
    "mixer_backward(Tensor d_o, Tensor q, Tensor k, Tensor v, Tensor lse, "
    "Tensor o_local, Tensor o_memory, str variant, int window, int sinks, "
    "Tensor? norm_local, Tensor? norm_memory, float rope_theta, "
    "Tensor? cu_seqlens=None) -> "
    "(Tensor dq, Tensor dk, Tensor dv, Tensor d_norm_local, "
    "Tensor d_norm_memory)";

// What a call is about, besides its tensors.
struct Settings {
  std::string variant;
  int64_t window, sinks;
  double rope_theta;
  Tensor cu_seqlens = {};  // of Offsets; must live as long as the problem
};

// As a Problem has them; undefined without a pack.
Tensor Offsets(const OptionalTensor& cu_seqlens) {
  if (!cu_seqlens || !cu_seqlens->defined()) return Tensor();
  TORCH_CHECK_VALUE(cu_seqlens->dim() == 1 && cu_seqlens->numel() > 0 &&
                        at::isIntegralType(cu_seqlens->scalar_type(), false),
                    "rattn: cu_seqlens must be a list of integers, got ",
                    cu_seqlens->sizes(), " of ", cu_seqlens->scalar_type());
  return cu_seqlens->to(at::kCPU, at::kLong).contiguous();
}

// q [B, Tq, Hq, D], k [B, Tk, Hkv, D], v [B, Tk, Hkv, Dv].
Problem MakeProblem(const Tensor& q, const Tensor& k, const Tensor& v,
                    const Settings& settings, Phase phase = Phase::kTrain) {
  for (const Tensor* t : {&q, &k, &v}) {
    TORCH_CHECK_VALUE(t->dim() == 4,
                      "rattn: q, k and v have the axes [batch, "
                      "tokens, heads, dim], got ",
                      t->dim(), " axes");
    TORCH_CHECK_VALUE(t->scalar_type() == q.scalar_type(),
                      "rattn: q, k and v must have one dtype");
    TORCH_CHECK_VALUE(t->device() == q.device(),
                      "rattn: all tensors must be on one device, got ",
                      q.device(), " and ", t->device());
  }
  TORCH_CHECK_VALUE(q.scalar_type() == at::kFloat ||
                        q.scalar_type() == at::kBFloat16 ||
                        q.scalar_type() == at::kHalf,
                    "rattn: mixers run in float32, bfloat16 and float16, not ",
                    q.scalar_type());
  const Variant* variant = FindVariant(settings.variant);
  TORCH_CHECK_VALUE(variant != nullptr, "rattn: no variant \"",
                    settings.variant, "\"; `rattn list` names them");
  Problem p;
  std::string reason;
  TORCH_CHECK_VALUE(
      MakeSpec(*variant,
               {.window_keys = settings.window, .sinks = settings.sinks},
               &p.spec, &reason),
      "rattn: ", settings.variant, ": ", reason);
  p.phase = phase;
  p.shape = {.batch = q.size(0),
             .query_heads = q.size(2),
             .kv_heads = k.size(2),
             .query_len = q.size(1),
             .key_len = k.size(1),
             .head_dim = q.size(3),
             .value_dim = v.size(3)};
  p.dtype = KernelDtype(q.scalar_type());
  if (settings.rope_theta > 0) {
    p.positions = {.rope = true, .theta = settings.rope_theta};
  }
  if (const Tensor& offsets = settings.cu_seqlens; offsets.defined()) {
    p.cu_seqlens = {offsets.const_data_ptr<int64_t>(),
                    static_cast<size_t>(offsets.numel())};
  }
  p.threads = at::get_num_threads();
  return p;
}

struct Kept {
  Tensor o;
  Tensor lse, o_local, o_memory;  // for the backward; empty if not needed
};

Kept MakeOutputs(const Problem& p, const Tensor& q) {
  const Shape& s = p.shape;
  const at::TensorOptions wide = q.options().dtype(at::kFloat);
  const auto make = [&](bool used, int64_t dim) {
    if (!used || p.phase != Phase::kTrain) return at::empty({0}, wide);
    return at::empty({s.batch, s.query_len, s.query_heads, dim}, wide);
  };
  return {at::empty({s.batch, s.query_len, s.query_heads, s.value_dim},
                    q.options()),
          make(HasLocal(p.spec), 1), make(HasLocal(p.spec), s.value_dim),
          make(HasMemory(p.spec), s.value_dim)};
}

TensorView ViewUnlessEmpty(const Tensor& t) {
  return t.defined() && t.numel() > 0 ? View(t) : TensorView{};
}

Buffers MakeBuffers(const Tensor& q, const Tensor& k, const Tensor& v,
                    const Tensor& norm_local, const Tensor& norm_memory,
                    const Kept& kept) {
  Buffers b;
  b.q = View(q);
  b.k = View(k);
  b.v = View(v);
  b.norm_local = View(norm_local);
  b.norm_memory = View(norm_memory);
  b.o = View(kept.o);
  b.lse = ViewUnlessEmpty(kept.lse);
  b.o_local = ViewUnlessEmpty(kept.o_local);
  b.o_memory = ViewUnlessEmpty(kept.o_memory);
  return b;
}

// Of the backend that bears the name of the tensors' kind of device.
TensorCalls CheckedCalls(const Problem& problem, const Buffers& buffers,
                         const Tensor& q, bool backward) {
  std::string reason;
  const Backend* backend = FindBackend(
      c10::DeviceTypeName(q.device().type(), /*lower_case=*/true), &reason);
  TORCH_CHECK(backend != nullptr, "rattn: tensors on ", q.device(),
              " cannot be used: ", reason);
  Support support = backend->Supports(problem);
  if (support.ok()) support = CheckBuffers(problem, buffers, backward);
  TORCH_CHECK_VALUE(support.ok(), "rattn: ", support.reason);
  return TensorCalls(*backend, q.device());
}

// Scales of the norms [Hq, Dv], fp32 and dense.
Tensor Scales(const OptionalTensor& t, const Tensor& q) {
  if (!t || !t->defined()) return Tensor();
  TORCH_CHECK_VALUE(t->device() == q.device(),
                    "rattn: all tensors must be on one device, got ",
                    q.device(), " and ", t->device());
  return t->to(at::kFloat).contiguous();
}

using Forwarded = std::tuple<Tensor, Tensor, Tensor, Tensor>;
Forwarded MixerForward(const Tensor& q, const Tensor& k, const Tensor& v,
                       const std::string& variant, int64_t window,
                       int64_t sinks, const OptionalTensor& norm_local,
                       const OptionalTensor& norm_memory, double rope_theta,
                       bool train, const OptionalTensor& cu_seqlens) {
  const Tensor offsets = Offsets(cu_seqlens);
  const Problem p =
      MakeProblem(q, k, v, {variant, window, sinks, rope_theta, offsets},
                  train ? Phase::kTrain : Phase::kForward);
  const Tensor local = Scales(norm_local, q), memory = Scales(norm_memory, q);
  const Kept kept = MakeOutputs(p, q);
  const Buffers b = MakeBuffers(q, k, v, local, memory, kept);
  CheckedCalls(p, b, q, false).Forward(p, b);
  return {kept.o, kept.lse, kept.o_local, kept.o_memory};
}

Forwarded MixerForwardMeta(const Tensor& q, const Tensor& k, const Tensor& v,
                           const std::string& variant, int64_t window,
                           int64_t sinks, const OptionalTensor&,
                           const OptionalTensor&, double rope_theta, bool train,
                           const OptionalTensor&) {
  const Kept kept =
      MakeOutputs(MakeProblem(q, k, v, {variant, window, sinks, rope_theta},
                              train ? Phase::kTrain : Phase::kForward),
                  q);
  return {kept.o, kept.lse, kept.o_local, kept.o_memory};
}

using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;
Gradients EmptyGradients(const Tensor& q, const Tensor& k, const Tensor& v,
                         const OptionalTensor& norm_local,
                         const OptionalTensor& norm_memory) {
  const auto like = [&](const OptionalTensor& t) {
    const at::TensorOptions wide = q.options().dtype(at::kFloat);
    if (!t || !t->defined()) return at::empty({0}, wide);
    return at::zeros(t->sizes(), wide);
  };
  return {at::empty(q.sizes(), q.options()), at::empty(k.sizes(), k.options()),
          at::empty(v.sizes(), v.options()), like(norm_local),
          like(norm_memory)};
}

Gradients MixerBackward(const Tensor& d_o, const Tensor& q, const Tensor& k,
                        const Tensor& v, const Tensor& lse,
                        const Tensor& o_local, const Tensor& o_memory,
                        const std::string& variant, int64_t window,
                        int64_t sinks, const OptionalTensor& norm_local,
                        const OptionalTensor& norm_memory, double rope_theta,
                        const OptionalTensor& cu_seqlens) {
  const Tensor offsets = Offsets(cu_seqlens);
  const Problem p =
      MakeProblem(q, k, v, {variant, window, sinks, rope_theta, offsets});
  const Tensor local = Scales(norm_local, q), memory = Scales(norm_memory, q);
  const Kept kept = {at::empty_like(d_o, at::MemoryFormat::Contiguous), lse,
                     o_local, o_memory};
  const Gradients d = EmptyGradients(q, k, v, norm_local, norm_memory);
  const Tensor dense = d_o.contiguous();
  Buffers b = MakeBuffers(q, k, v, local, memory, kept);
  b.d_o = View(dense);
  b.dq = View(std::get<0>(d));
  b.dk = View(std::get<1>(d));
  b.dv = View(std::get<2>(d));
  b.d_norm_local = ViewUnlessEmpty(std::get<3>(d));
  b.d_norm_memory = ViewUnlessEmpty(std::get<4>(d));
  CheckedCalls(p, b, q, true).Backward(p, b);
  return d;
}

Gradients MixerBackwardMeta(const Tensor&, const Tensor& q, const Tensor& k,
                            const Tensor& v, const Tensor&, const Tensor&,
                            const Tensor&, const std::string&, int64_t, int64_t,
                            const OptionalTensor& norm_local,
                            const OptionalTensor& norm_memory, double,
                            const OptionalTensor&) {
  return EmptyGradients(q, k, v, norm_local, norm_memory);
}

template <typename Signature>
auto Operator(const char* name) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(name, "")
      .typed<Signature>();
}

const auto& ForwardOperator() {
  static const auto op =
      Operator<decltype(MixerForward)>("rattn::mixer_forward");
  return op;
}

// Calls go through the dispatcher, so that meta tensors take this way too.
struct MixerFunction : torch::autograd::Function<MixerFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k,
                        const Tensor& v, const std::string& variant,
                        int64_t window, int64_t sinks,
                        const OptionalTensor& norm_local,
                        const OptionalTensor& norm_memory, double rope_theta,
                        const OptionalTensor& cu_seqlens) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto [o, lse, o_local, o_memory] =
        ForwardOperator().call(q, k, v, variant, window, sinks, norm_local,
                               norm_memory, rope_theta, true, cu_seqlens);
    const Tensor absent;
    ctx->save_for_backward(
        {q, k, v, lse, o_local, o_memory, norm_local.value_or(absent),
         norm_memory.value_or(absent), cu_seqlens.value_or(absent)});
    ctx->saved_data["variant"] = variant;
    ctx->saved_data["window"] = window;
    ctx->saved_data["sinks"] = sinks;
    ctx->saved_data["rope_theta"] = rope_theta;
    return o;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto backward_op =
        Operator<decltype(MixerBackward)>("rattn::mixer_backward");
    const variable_list s = ctx->get_saved_variables();
    const auto optional = [](const Tensor& t) {
      return t.defined() ? OptionalTensor(t) : std::nullopt;
    };
    const auto [dq, dk, dv, d_local, d_memory] = backward_op.call(
        grads[0], s[0], s[1], s[2], s[3], s[4], s[5],
        ctx->saved_data["variant"].toStringRef(),
        ctx->saved_data["window"].toInt(), ctx->saved_data["sinks"].toInt(),
        optional(s[6]), optional(s[7]),
        ctx->saved_data["rope_theta"].toDouble(), optional(s[8]));
    const Tensor none;
    const auto scales = [&](const Tensor& d, const Tensor& of) {
      return of.defined() ? d.to(of.scalar_type()) : none;
    };
    return {dq,
            dk,
            dv,
            none,
            none,
            none,
            scales(d_local, s[6]),
            scales(d_memory, s[7]),
            none,
            none};
  }
};

Tensor Mixer(const Tensor& q, const Tensor& k, const Tensor& v,
             const std::string& variant, int64_t window, int64_t sinks,
             const OptionalTensor& norm_local,
             const OptionalTensor& norm_memory, double rope_theta,
             const OptionalTensor& cu_seqlens) {
  if (!at::GradMode::is_enabled()) {
    return std::get<0>(ForwardOperator().call(q, k, v, variant, window, sinks,
                                              norm_local, norm_memory,
                                              rope_theta, false, cu_seqlens));
  }
  return MixerFunction::apply(q, k, v, variant, window, sinks, norm_local,
                              norm_memory, rope_theta, cu_seqlens);
}

TORCH_LIBRARY(rattn, library) {
  library.def(kSchema);
  library.def(kForwardSchema);
  library.def(kBackwardSchema);
}
TORCH_LIBRARY_IMPL(rattn, CompositeImplicitAutograd, library) {
  library.impl("mixer", &Mixer);
}
TORCH_LIBRARY_IMPL(rattn, CPU, library) {
  library.impl("mixer_forward", &MixerForward);
  library.impl("mixer_backward", &MixerBackward);
}
TORCH_LIBRARY_IMPL(rattn, CUDA, library) {
  library.impl("mixer_forward", &MixerForward);
  library.impl("mixer_backward", &MixerBackward);
}
TORCH_LIBRARY_IMPL(rattn, Meta, library) {
  library.impl("mixer_forward", &MixerForwardMeta);
  library.impl("mixer_backward", &MixerBackwardMeta);
}

}  // namespace
}  // namespace rattn
