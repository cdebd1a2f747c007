#include "models/torch/mixer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "kernels/torch/tensor_calls.h"
#include "kernels/torch/tensor_views.h"
#include "models/error.h"
#include "models/torch/aten_mixer.h"

namespace rattn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Problem CallProblem(const MixerPlan& plan, const at::Tensor& qkv, Phase phase) {
  Problem problem = plan.problem;
  problem.phase = phase;
  problem.dtype = KernelDtype(qkv.scalar_type());
  problem.shape.batch = qkv.size(0);
  problem.shape.query_len = problem.shape.key_len = qkv.size(1);
  return problem;
}

void CheckSupport(const Backend& backend, const Problem& problem) {
  const Support support = backend.Supports(problem);
  if (support.ok()) return;
  throw UserError(fmt::format(
      "backend {} cannot run this model: {}; choose another backend or dtype",
      backend.name(), support.reason));
}

// The q and k parts of a [B, T, Hq + Hkv, D] tensor.
struct Parts {
  TensorView q, k;
};
Parts Split(const MixerPlan& plan, const at::Tensor& qk) {
  if (!qk.defined()) return {};
  const Shape& s = plan.problem.shape;
  return {View(qk.narrow(2, 0, s.query_heads)),
          View(qk.narrow(2, s.query_heads, s.kv_heads))};
}

at::Tensor ValuePart(const MixerPlan& plan, const at::Tensor& qkv) {
  const Shape& s = plan.problem.shape;
  return qkv.narrow(2, s.query_heads + s.kv_heads, s.kv_heads);
}

struct Outputs {
  at::Tensor o;                       // [B, T, Hq, D]
  at::Tensor lse, o_local, o_memory;  // kept in phase kTrain
};

Outputs MakeOutputs(const Problem& p, const at::Tensor& qkv) {
  const std::vector<int64_t> shape = {qkv.size(0), qkv.size(1),
                                      p.shape.query_heads, p.shape.value_dim};
  Outputs out;
  out.o = at::empty(shape, qkv.options());
  if (p.phase != Phase::kTrain) return out;
  const at::TensorOptions wide = qkv.options().dtype(
      qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (HasLocal(p.spec)) {
    out.lse = at::empty({shape[0], shape[1], shape[2], 1}, wide);
    out.o_local = at::empty(shape, wide);
  }
  if (HasMemory(p.spec)) out.o_memory = at::empty(shape, wide);
  return out;
}

Buffers MakeBuffers(const MixerPlan& plan, const MixerWeights& weights,
                    const at::Tensor& qkv, const Qk& qk, const Outputs& out) {
  const Parts local = Split(plan, qk.local), memory = Split(plan, qk.memory);
  Buffers b;
  b.q = local.q;
  b.k = local.k;
  b.v = View(ValuePart(plan, qkv));
  b.q_memory = memory.q;
  b.k_memory = memory.k;
  b.norm_local = View(weights.norm_local);
  b.norm_memory = View(weights.norm_memory);
  b.o = View(out.o);
  b.lse = View(out.lse);
  b.o_local = View(out.o_local);
  b.o_memory = View(out.o_memory);
  return b;
}

struct Forwarded {
  Qk qk;
  Outputs out;
};

Forwarded RunForward(const MixerPlan& plan, const MixerWeights& weights,
                     const at::Tensor& qkv, Phase phase) {
  const Problem problem = CallProblem(plan, qkv, phase);
  CheckSupport(*plan.backend, problem);
  Forwarded f{PrepareQk(plan.qk, qkv, weights.qk), MakeOutputs(problem, qkv)};
  TensorCalls(*plan.backend, qkv.device())
      .Forward(problem, MakeBuffers(plan, weights, qkv, f.qk, f.out));
  return f;
}

struct Gradients {
  at::Tensor qkv;
  MixerWeights weights;
};

Gradients RunBackward(const MixerPlan& plan, const MixerWeights& weights,
                      const at::Tensor& qkv, const Forwarded& f,
                      const at::Tensor& d_o) {
  const Problem problem = CallProblem(plan, qkv, Phase::kTrain);
  Gradients d;
  d.qkv = at::empty(qkv.sizes(), qkv.options());
  const auto like = [](const at::Tensor& t, bool wanted) {
    return wanted ? at::empty(t.sizes(), t.options()) : at::Tensor();
  };
  const bool made = MakesLocal(plan.qk) || MakesMemory(plan.qk);
  const Qk d_qk{
      made ? like(f.qk.local, true) : d.qkv.narrow(2, 0, f.qk.local.size(2)),
      like(f.qk.memory, f.qk.memory.defined())};
  d.weights.norm_local = like(weights.norm_local, weights.norm_local.defined());
  d.weights.norm_memory =
      like(weights.norm_memory, weights.norm_memory.defined());

  Buffers b = MakeBuffers(plan, weights, qkv, f.qk, f.out);
  const Parts local = Split(plan, d_qk.local);
  const Parts memory = Split(plan, d_qk.memory);
  b.d_o = View(d_o);
  b.dq = local.q;
  b.dk = local.k;
  b.dv = View(ValuePart(plan, d.qkv));
  b.dq_memory = memory.q;
  b.dk_memory = memory.k;
  b.d_norm_local = View(d.weights.norm_local);
  b.d_norm_memory = View(d.weights.norm_memory);
  TensorCalls(*plan.backend, qkv.device()).Backward(problem, b);
  if (made) {
    d.weights.qk = PrepareQkBackward(plan.qk, qkv, weights.qk, d_qk, d.qkv);
  }
  return d;
}

// LibTorch takes absent tensors as arguments only in this form.
using Optional = std::optional<at::Tensor>;

struct MixFunction : torch::autograd::Function<MixFunction> {
  // The plan outlives the graph: the model owns it.
  static at::Tensor forward(AutogradContext* ctx, const MixerPlan* plan,
                            const at::Tensor& qkv, const Optional& norm_q,
                            const Optional& norm_k,
                            const Optional& memory_q_scale,
                            const Optional& memory_k_scale,
                            const Optional& norm_local,
                            const Optional& norm_memory) {
    const at::Tensor absent;
    const MixerWeights w{
        {norm_q.value_or(absent), norm_k.value_or(absent),
         memory_q_scale.value_or(absent), memory_k_scale.value_or(absent)},
        norm_local.value_or(absent),
        norm_memory.value_or(absent)};
    const Forwarded f = RunForward(*plan, w, qkv, Phase::kTrain);
    ctx->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    ctx->save_for_backward({qkv, w.qk.norm_q, w.qk.norm_k, w.qk.memory_q_scale,
                            w.qk.memory_k_scale, w.norm_local, w.norm_memory,
                            f.qk.local, f.qk.memory, f.out.o, f.out.lse,
                            f.out.o_local, f.out.o_memory});
    return f.out.o;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto* plan =
        reinterpret_cast<const MixerPlan*>(ctx->saved_data["plan"].toInt());
    const variable_list s = ctx->get_saved_variables();
    const MixerWeights weights{{s[1], s[2], s[3], s[4]}, s[5], s[6]};
    const Forwarded f{{s[7], s[8]}, {s[9], s[10], s[11], s[12]}};
    const Gradients d =
        RunBackward(*plan, weights, s[0], f, grads[0].contiguous());
    const QkWeights& qk = d.weights.qk;
    return {at::Tensor(),
            d.qkv,
            qk.norm_q,
            qk.norm_k,
            qk.memory_q_scale,
            qk.memory_k_scale,
            d.weights.norm_local,
            d.weights.norm_memory};
  }
};

QkPlan MakeQkPlan(const ModelConfig& config, const Problem& problem) {
  QkPlan plan;
  if (config.qk_norm == "before_rope") plan.norm = QkPlan::Norm::kBefore;
  if (config.qk_norm == "local_after_rope") {
    plan.norm = QkPlan::Norm::kLocalAfterRope;
  }
  plan.eps = config.norm_eps;
  plan.local = HasLocal(problem.spec);
  plan.memory = HasMemory(problem.spec);
  plan.memory_scales = plan.memory && config.memory_qk_scale > 0;
  plan.positions = problem.positions;
  plan.query_heads = problem.shape.query_heads;
  plan.kv_heads = problem.shape.kv_heads;
  return plan;
}

}  // namespace

MixerPlan MakeMixerPlan(const ModelConfig& config, int64_t layer,
                        const Backend* backend, int threads) {
  MixerPlan plan;
  plan.problem = LayerProblem(config, layer);
  plan.problem.threads = threads;
  plan.qk = MakeQkPlan(config, plan.problem);
  plan.backend = backend;
  const LocalSpec& local = plan.problem.spec.local;
  if (Rotates(plan.qk) && local.kind == LocalKind::kWindowSinks &&
      local.sink_positions == SinkPositions::kSlot) {
    throw UserError(fmt::format(
        "{}: \"qk_norm\" local_after_rope fixes positions ahead of the mixer, "
        "which sinks at slot positions cannot use; set it to before_rope",
        config.name));
  }
  if (Rotates(plan.qk) || !plan.qk.local) plan.problem.positions.rope = false;
  return plan;
}

at::Tensor Mix(const MixerPlan& plan, const MixerWeights& weights,
               const at::Tensor& qkv) {
  if (plan.backend == nullptr) return AtenMix(plan, weights, qkv);
  if (!at::GradMode::is_enabled()) {
    return RunForward(plan, weights, qkv, Phase::kForward).out.o;
  }
  const QkWeights& qk = weights.qk;
  return MixFunction::apply(
      &plan, qkv, Optional(qk.norm_q), Optional(qk.norm_k),
      Optional(qk.memory_q_scale), Optional(qk.memory_k_scale),
      Optional(weights.norm_local), Optional(weights.norm_memory));
}

KvCache MakeCache(const MixerPlan& plan, at::ScalarType dtype) {
  Problem problem = plan.problem;
  problem.phase = Phase::kExtend;
  problem.dtype = KernelDtype(dtype);
  return KvCache(problem, BranchesDiffer(plan.qk),
                 plan.backend->cache_allocator());
}

at::Tensor MixExtend(const MixerPlan& plan, const MixerWeights& weights,
                     const at::Tensor& qkv, KvCache& cache) {
  const int64_t tokens = qkv.size(1);
  const Problem problem =
      CallProblem(plan, qkv, tokens == 1 ? Phase::kDecode : Phase::kExtend);
  CheckSupport(*plan.backend, problem);
  const Qk qk = PrepareQk(plan.qk, qkv, weights.qk, cache.length());
  const Outputs out = MakeOutputs(problem, qkv);
  cache.Reserve(tokens);
  TensorCalls(*plan.backend, qkv.device())
      .Extend(problem, MakeBuffers(plan, weights, qkv, qk, out), cache);
  return out.o;
}

}  // namespace rattn
