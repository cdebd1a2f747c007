#include "kernels/torch/torch_backend.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>
#include <torch/version.h>

#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <tuple>

#include "kernels/torch/torch_memory.h"
#include "kernels/torch/torch_rope.h"
#include "kernels/window.h"

namespace rattn {
namespace {

// A dense mask beyond this would not be anybody's baseline.
constexpr int64_t kMaxMaskBytes = int64_t{2} << 30;

at::ScalarType TorchType(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF64:
      return at::kDouble;
    case Dtype::kF32:
      return at::kFloat;
    case Dtype::kBF16:
      return at::kBFloat16;
    case Dtype::kF16:
      return at::kHalf;
  }
  return at::kFloat;
}

// [B, T, H, D] in place, as LibTorch's [B, H, T, D].
at::Tensor Wrap(const TensorView& view) {
  return at::from_blob(view.data, view.shape, view.stride,
                       at::TensorOptions().dtype(TorchType(view.dtype)))
      .transpose(1, 2);
}

// The flash kernel takes any strides but those of the last axis.
at::Tensor WrapDense(const TensorView& view) {
  const at::Tensor x = Wrap(view);
  return view.stride[3] == 1 ? x : x.contiguous();
}

// Query and key positions at which the causal flag says all there is to say.
bool PlainCausal(const Problem& p) {
  return p.shape.query_len == p.shape.key_len &&
         LocalWindow(p.spec.local) >= p.shape.key_len;
}

// -inf where a query does not see a key, in the dtype of q [Tq, Tk].
at::Tensor MakeMask(const Problem& p) {
  const int64_t tq = p.shape.query_len, tk = p.shape.key_len;
  const at::Tensor i = at::arange(tk - tq, tk).unsqueeze(1);
  const at::Tensor j = at::arange(tk).unsqueeze(0);
  const at::Tensor distance = i - j;
  const at::Tensor seen =
      (distance >= 0) &
      ((distance < LocalWindow(p.spec.local)) | (j < SinkCount(p.spec.local)));
  return at::zeros({tq, tk}, at::TensorOptions().dtype(TorchType(p.dtype)))
      .masked_fill_(~seen, -std::numeric_limits<double>::infinity());
}

// The mask of the last problem is kept: a caller of LibTorch would also build
// it once and not in every layer.
std::optional<at::Tensor> MaskOf(const Problem& p) {
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, Dtype>;
  static std::mutex mutex;
  static Key known;
  static at::Tensor mask;
  if (PlainCausal(p)) return std::nullopt;
  const Key key = {p.shape.query_len, p.shape.key_len,
                   LocalWindow(p.spec.local), SinkCount(p.spec.local), p.dtype};
  const std::lock_guard lock(mutex);
  if (!mask.defined() || key != known) {
    mask = at::Tensor();  // both would not fit where one barely does
    mask = MakeMask(p);
    known = key;
  }
  return mask;
}

// LibTorch's thread count is the process's: set for a call, then restored.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(at::get_num_threads()) {
    if (threads != before_) at::set_num_threads(threads);
  }
  ~ThreadCount() {
    if (at::get_num_threads() != before_) at::set_num_threads(before_);
  }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  const int before_;
};

// q, k, v [B, Hq, T, D] as the flash kernel wants them: rotated, KV heads
// repeated for their group (as enable_gqa does).
struct Inputs {
  Inputs(const Problem& p, const Buffers& b)
      : scale(p.local_scale != 0
                  ? p.local_scale
                  : 1 / std::sqrt(static_cast<double>(p.shape.head_dim))),
        mask(MaskOf(p)) {
    const int64_t offset = p.shape.key_len - p.shape.query_len;
    const int64_t group = GroupSize(p.shape);
    q = RotateRows(p.positions, WrapDense(b.q), offset, false);
    k = RotateRows(p.positions, WrapDense(b.k), 0, false);
    v = WrapDense(b.v);
    if (group == 1) return;
    k = k.repeat_interleave(group, 1);
    v = v.repeat_interleave(group, 1);
  }

  at::Tensor q, k, v;
  double scale;
  std::optional<at::Tensor> mask;
};

// [B, H, T] of a [B, T, H, 1] view; [1, H, 1] of the sink logits.
at::Tensor Rows(const TensorView& view) { return Wrap(view).squeeze(3); }
at::Tensor Sinks(const TensorView& view) {
  return Wrap(view).reshape({1, view.shape[3], 1});
}

// Row maxima of the scores, the sink's among them, in blocks of rows.
void WriteMaxLogits(const Problem& p, const Inputs& in,
                    const Buffers& buffers) {
  constexpr int64_t kRows = 128;
  at::Tensor out = Rows(buffers.max_logits);
  Problem masked = p;
  for (int64_t at = 0; at < p.shape.query_len; at += kRows) {
    const int64_t count = std::min(kRows, p.shape.query_len - at);
    masked.shape.query_len = count;
    masked.shape.key_len = at + count + p.shape.key_len - p.shape.query_len;
    masked.dtype = Dtype::kF32;
    const at::Tensor keys = in.k.narrow(2, 0, masked.shape.key_len);
    const at::Tensor scores =
        at::matmul(in.q.narrow(2, at, count).to(at::kFloat),
                   keys.to(at::kFloat).transpose(2, 3)) *
            in.scale +
        MakeMask(masked);
    out.narrow(2, at, count).copy_(scores.amax(3));
  }
  if (buffers.sink_logit) {
    out.copy_(at::maximum(out, Sinks(buffers.sink_logit)));
  }
}

class Torch : public Backend {
 public:
  std::string_view name() const override { return "torch"; }

  std::string description() const override {
    return "LibTorch " TORCH_VERSION
           " scaled_dot_product_attention (CPU flash kernel); windows as a "
           "dense mask, O(T^2) work; memories chunkwise in plain operators";
  }

  Support Supports(const Problem& p) const override {
    if (Support support = CheckProblem(p); !support.ok()) return support;
    if (Support support = RefuseSoftcap(p); !support.ok()) return support;
    if (p.phase == Phase::kExtend || p.phase == Phase::kDecode) {
      return {"the torch baseline has no caches"};
    }
    if (!p.cu_seqlens.empty()) {
      return {"the torch baseline has no packs: it needs a call per sequence"};
    }
    if (HasMemory(p.spec)) {
      if (Support memory = SupportsChunkwiseMemory(p); !memory.ok()) {
        return memory;
      }
    } else if (UsesNorms(p.spec)) {
      return {"the torch baseline has norms beside a memory only"};
    }
    if (p.dtype != Dtype::kF32 && p.dtype != Dtype::kBF16) {
      return {"the torch baseline runs fp32 and bf16"};
    }
    if (p.shape.value_dim != p.shape.head_dim) {
      return {"LibTorch's flash kernel needs value dim = head dim"};
    }
    if (p.shape.query_len > p.shape.key_len) {
      return {"the torch baseline needs at least one key per query"};
    }
    if (p.positions.rope && p.spec.local.kind == LocalKind::kWindowSinks &&
        p.spec.local.sink_positions == SinkPositions::kSlot) {
      return {"the torch baseline has sinks at true positions only"};
    }
    return HasLocal(p.spec) ? CheckMask(p) : Support{};
  }

  size_t WorkspaceBytes(const Problem&) const override { return 0; }

  void Forward(const Problem& p, const Buffers& buffers,
               Workspace) const override {
    const at::NoGradGuard no_grad;
    const ThreadCount threads(p.threads);
    at::Tensor local, memory;
    if (HasLocal(p.spec)) local = LocalForward(p, buffers);
    if (HasMemory(p.spec)) memory = MemoryForward(p, buffers);
    const auto norm = [&p](const TensorView& view) {
      return view ? Wrap(view).reshape({p.shape.query_heads, p.shape.value_dim})
                  : at::Tensor();
    };
    Wrap(buffers.o).copy_(CombineBranches(
        p, local, memory, norm(buffers.norm_local), norm(buffers.norm_memory)));
  }

  void Backward(const Problem& p, const Buffers& buffers,
                Workspace) const override {
    const at::NoGradGuard no_grad;
    const ThreadCount threads(p.threads);
    const Inputs in(p, buffers);
    const at::Tensor o = WrapDense(buffers.o), d_o = WrapDense(buffers.d_o);
    const at::Tensor lse = Rows(buffers.lse);
    const auto [dq, dk, dv] =
        at::_scaled_dot_product_flash_attention_for_cpu_backward(
            d_o, in.q, in.k, in.v, o, lse, 0.0, PlainCausal(p), in.mask,
            in.scale);
    const int64_t offset = p.shape.key_len - p.shape.query_len;
    const auto store = [](const TensorView& view, const at::Tensor& x) {
      if (view) Wrap(view).copy_(x);
    };
    const auto of_group = [&p](const at::Tensor& x) {
      return x.unflatten(1, {p.shape.kv_heads, GroupSize(p.shape)})
          .sum(2, false, at::kFloat);
    };
    store(buffers.dq, RotateRows(p.positions, dq, offset, true));
    store(buffers.dk, RotateRows(p.positions, of_group(dk), 0, true));
    store(buffers.dv, of_group(dv));
    if (buffers.d_sink_logit) {
      const at::Tensor weight = (Sinks(buffers.sink_logit) - lse).exp();
      const at::Tensor along = (o.to(at::kFloat) * d_o.to(at::kFloat)).sum(3);
      Sinks(buffers.d_sink_logit)
          .copy_(
              -(weight * along).sum(at::IntArrayRef({0, 2})).view({1, -1, 1}));
    }
  }

  // Not supported in any phase that calls it.
  void Extend(const Problem&, const Buffers&, KvCache&,
              Workspace) const override {}

 private:
  static at::Tensor LocalForward(const Problem& p, const Buffers& buffers) {
    const Inputs in(p, buffers);
    auto [o, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
        in.q, in.k, in.v, 0.0, PlainCausal(p), in.mask, in.scale);
    if (buffers.sink_logit) {
      // One more term in the denominator, without a value.
      const at::Tensor sink = Sinks(buffers.sink_logit);
      o = o * at::sigmoid(lse - sink).unsqueeze(3).to(o.scalar_type());
      lse = at::logaddexp(lse, sink);
    }
    if (buffers.o_local) Wrap(buffers.o_local).copy_(o);
    if (buffers.lse) Rows(buffers.lse).copy_(lse);
    if (buffers.max_logits) WriteMaxLogits(p, in, buffers);
    return o;
  }

  static at::Tensor MemoryForward(const Problem& p, const Buffers& b) {
    at::Tensor final_state;
    const at::Tensor o = ChunkwiseMemory(
        p, WrapDense(b.q_memory ? b.q_memory : b.q),
        WrapDense(b.k_memory ? b.k_memory : b.k), WrapDense(b.v),
        b.initial_state ? State(b.initial_state) : at::Tensor(),
        b.final_state ? &final_state : nullptr);
    if (b.final_state) State(b.final_state).copy_(final_state);
    if (b.o_memory) Wrap(b.o_memory).copy_(o);
    return o;
  }
  // States are [B, heads, F, Dv] as they stand.
  static at::Tensor State(const TensorView& view) {
    return Wrap(view).transpose(1, 2);
  }

  static Support CheckMask(const Problem& p) {
    const double bytes = static_cast<double>(p.shape.query_len) *
                         static_cast<double>(p.shape.key_len) *
                         static_cast<double>(ByteSize(p.dtype));
    if (PlainCausal(p) || bytes <= static_cast<double>(kMaxMaskBytes)) {
      return {};
    }
    return {"the dense window mask of LibTorch would take more than 2 GiB"};
  }
};

}  // namespace

const Backend* TorchBackend() {
  static const Torch backend;
  return &backend;
}

}  // namespace rattn
