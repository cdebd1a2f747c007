// CheckProblem and CheckBuffers: one wording for what no backend can do.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>

#include "kernels/backend.h"
#include "kernels/catalog.h"
#include "kernels/window.h"

namespace rattn {
namespace {

// Far below 2^63, so that no stride arithmetic behind the check overflows.
constexpr double kMaxElements = 0x1p56;

std::string CheckShape(const Shape& s) {
  const std::array<std::pair<std::string_view, int64_t>, 5> sizes = {{
      {"batch", s.batch},
      {"query_heads", s.query_heads},
      {"kv_heads", s.kv_heads},
      {"query_len", s.query_len},
      {"key_len", s.key_len},
  }};
  for (const auto& [name, size] : sizes) {
    if (size < 1)
      return fmt::format("{} must be 1 or more, got {}", name, size);
  }
  if (s.query_heads % s.kv_heads != 0) {
    return fmt::format(
        "query heads must be a multiple of kv heads, got {} and {}",
        s.query_heads, s.kv_heads);
  }
  const std::array<std::pair<std::string_view, int64_t>, 2> dims = {{
      {"head dim", s.head_dim},
      {"value dim", s.value_dim},
  }};
  for (const auto& [name, dim] : dims) {
    if (dim < 8 || dim % 8 != 0) {
      return fmt::format("{} must be a positive multiple of 8, got {}", name,
                         dim);
    }
  }
  const double rows =
      static_cast<double>(s.batch) * static_cast<double>(s.query_heads);
  const double dim = static_cast<double>(std::max(s.head_dim, s.value_dim));
  const double length = static_cast<double>(std::max(s.query_len, s.key_len));
  if (rows * dim * std::max(length, 2 * dim) > kMaxElements) {
    return "the tensors of this shape do not fit in any memory";
  }
  return "";
}

std::string CheckWindow(std::string_view name, int64_t keys) {
  if (keys >= 1 && keys <= kUnboundedWindow) return "";
  return fmt::format("{} needs a window of at least 1 key, got {}", name, keys);
}

std::string CheckLocal(const LocalSpec& local) {
  const bool windowed =
      local.kind == LocalKind::kWindow || local.kind == LocalKind::kWindowSinks;
  if (!windowed) return "";
  if (local.kind == LocalKind::kWindowSinks &&
      (local.sinks < 0 || local.sinks > kUnboundedWindow)) {
    return fmt::format("the number of sinks must be 0 or more, got {}",
                       local.sinks);
  }
  return CheckWindow("the local branch", local.window_keys);
}

std::string CheckSpec(const MixerSpec& spec, int64_t query_heads) {
  if (!HasLocal(spec) && !HasMemory(spec)) {
    return "a mixer needs a local branch, a memory branch or both";
  }
  if (std::string reason = CheckLocal(spec.local); !reason.empty()) {
    return reason;
  }
  if (spec.combine == Combine::kSplitHeads) {
    if (!HasLocal(spec) || !HasMemory(spec)) {
      return "split_heads needs a local branch and a memory branch";
    }
    if (query_heads < 2) {
      return fmt::format("split_heads needs 2 or more query heads, got {}",
                         query_heads);
    }
  }
  if (!HasMemory(spec) || spec.memory.reads == MemoryReads::kEverything) {
    return "";
  }
  if (spec.local.kind == LocalKind::kCausal) {
    return "a memory that reads outside the window needs a window, not a "
           "causal local branch";
  }
  if (HasLocal(spec) && spec.memory_window_keys != spec.local.window_keys) {
    return fmt::format(
        "local and memory branch must share one window, got {} and {} keys",
        spec.local.window_keys, spec.memory_window_keys);
  }
  return CheckWindow("a memory that reads outside the window",
                     spec.memory_window_keys);
}

std::string CheckPhase(const Problem& p) {
  const bool cached = p.phase == Phase::kExtend || p.phase == Phase::kDecode;
  if (cached && p.shape.query_len != p.shape.key_len) {
    return fmt::format(
        "on a cache query_len and key_len both count the new tokens, got {} "
        "and {}",
        p.shape.query_len, p.shape.key_len);
  }
  if (p.phase == Phase::kDecode && p.shape.query_len != 1) {
    return fmt::format("decode takes one token per sequence, got {}",
                       p.shape.query_len);
  }
  return "";
}

std::string CheckPack(const Problem& p) {
  const auto& offsets = p.cu_seqlens;
  if (offsets.empty()) return "";
  const Shape& s = p.shape;
  if (p.phase != Phase::kForward && p.phase != Phase::kTrain) {
    return "cu_seqlens pack sequences without a cache: forward and train only";
  }
  if (s.batch != 1) {
    return fmt::format("cu_seqlens need a batch of 1, got {}", s.batch);
  }
  if (s.query_len != s.key_len) {
    return fmt::format("cu_seqlens need as many queries as keys, got {} and {}",
                       s.query_len, s.key_len);
  }
  if (offsets.size() < 2 || offsets.front() != 0 ||
      offsets.back() != s.key_len) {
    return fmt::format(
        "cu_seqlens must go from 0 to the {} tokens, got {} .. {}", s.key_len,
        offsets.front(), offsets.back());
  }
  const auto down = std::adjacent_find(offsets.begin(), offsets.end(),
                                       std::greater<int64_t>());
  if (down == offsets.end()) return "";
  return fmt::format("cu_seqlens must not decrease, got {} after {}", down[1],
                     down[0]);
}

std::string CheckNumbers(const Problem& p) {
  if (!std::isfinite(p.local_scale) || !std::isfinite(p.memory_scale)) {
    return "local_scale and memory_scale must be finite";
  }
  if (!(std::isfinite(p.local_softcap) && p.local_softcap >= 0)) {
    return fmt::format("local_softcap must be 0 (none) or positive, got {}",
                       p.local_softcap);
  }
  if (p.positions.rope &&
      !(std::isfinite(p.positions.theta) && p.positions.theta > 0)) {
    return fmt::format("rope theta must be positive, got {}",
                       p.positions.theta);
  }
  const RopeScaling& scaling = p.positions.scaling;
  if (!(std::isfinite(scaling.factor) && scaling.factor > 0)) {
    return fmt::format("rope scaling needs a positive factor, got {}",
                       scaling.factor);
  }
  if (p.tiling.chunk < 0) {
    return fmt::format("chunk must be 0 (automatic) or more, got {}",
                       p.tiling.chunk);
  }
  if (p.tiling.state_every < 0) {
    return fmt::format("state_every must be 0 (automatic) or more, got {}",
                       p.tiling.state_every);
  }
  constexpr int64_t kMostPending = 1024;
  if (p.tiling.absorb_every < 0 || p.tiling.absorb_every > kMostPending) {
    return fmt::format("absorb_every must be 0 (automatic) to {}, got {}",
                       kMostPending, p.tiling.absorb_every);
  }
  if (p.threads < 1) {
    return fmt::format("threads must be 1 or more, got {}", p.threads);
  }
  return "";
}

using Axes = std::array<int64_t, 4>;

std::string ShapeText(const Axes& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Collects the first thing wrong with a call's buffers.
class BufferCheck {
 public:
  explicit BufferCheck(const Problem& p)
      : problem_(p),
        wide_(p.dtype == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32) {}

  void Required(std::string_view name, const TensorView& view, Axes shape) {
    Present(name, view);
    Optional(name, view, shape);
  }
  void RequiredWide(std::string_view name, const TensorView& view, Axes shape) {
    Present(name, view);
    OptionalWide(name, view, shape);
  }
  void Optional(std::string_view name, const TensorView& view, Axes shape) {
    Check(name, view, shape, problem_.dtype);
  }
  void OptionalWide(std::string_view name, const TensorView& view, Axes shape) {
    Check(name, view, shape, wide_);
  }
  void Refuse(std::string_view name, const TensorView& view,
              std::string_view why) {
    if (view && reason_.empty()) reason_ = fmt::format("{} {}", name, why);
  }
  const std::string& reason() const { return reason_; }

 private:
  void Present(std::string_view name, const TensorView& view) {
    if (!view && reason_.empty()) reason_ = fmt::format("{} is missing", name);
  }
  void Check(std::string_view name, const TensorView& view, Axes shape,
             Dtype dtype) {
    if (!view || !reason_.empty()) return;
    if (view.shape != shape) {
      reason_ = fmt::format("{} has shape {}, expected {}", name,
                            ShapeText(view.shape), ShapeText(shape));
    } else if (view.dtype != dtype) {
      reason_ = fmt::format("{} is {}, expected {}", name, Name(view.dtype),
                            Name(dtype));
    }
  }

  const Problem& problem_;
  Dtype wide_;
  std::string reason_;
};

struct BufferShapes {
  explicit BufferShapes(const Problem& p)
      : q{p.shape.batch, p.shape.query_len, p.shape.query_heads,
          p.shape.head_dim},
        k{p.shape.batch, p.shape.key_len, p.shape.kv_heads, p.shape.head_dim},
        v{p.shape.batch, p.shape.key_len, p.shape.kv_heads, p.shape.value_dim},
        o{p.shape.batch, p.shape.query_len, p.shape.query_heads,
          p.shape.value_dim},
        row{p.shape.batch, p.shape.query_len, p.shape.query_heads, 1},
        norm{1, 1, p.shape.query_heads, p.shape.value_dim},
        sink{1, 1, 1, p.shape.query_heads},
        state{SequenceCount(p), StateHeads(p), FeatureDim(p),
              p.shape.value_dim} {}
  Axes q, k, v, o, row, norm, sink, state;
};

void CheckInputs(const Problem& p, const Buffers& b, const BufferShapes& s,
                 BufferCheck* check) {
  check->Required("q", b.q, s.q);
  check->Required("k", b.k, s.k);
  check->Required("v", b.v, s.v);
  check->Optional("q_memory", b.q_memory, s.q);
  check->Optional("k_memory", b.k_memory, s.k);
  check->OptionalWide("norm_local", b.norm_local, s.norm);
  check->OptionalWide("norm_memory", b.norm_memory, s.norm);
  check->OptionalWide("sink_logit", b.sink_logit, s.sink);
  check->OptionalWide("initial_state", b.initial_state, s.state);
  if (!HasMemory(p.spec)) {
    constexpr std::string_view kWhy = "needs a memory branch";
    check->Refuse("q_memory", b.q_memory, kWhy);
    check->Refuse("k_memory", b.k_memory, kWhy);
    check->Refuse("initial_state", b.initial_state, kWhy);
    check->Refuse("final_state", b.final_state, kWhy);
  }
  if (!HasLocal(p.spec)) {
    check->Refuse("sink_logit", b.sink_logit, "needs a local branch");
    check->Refuse("max_logits", b.max_logits, "needs a local branch");
  }
  if (p.spec.memory.normalizer == Normalizer::kSum) {
    check->Refuse("initial_state", b.initial_state,
                  "cannot be used with the normalizer 'sum': the key sum that "
                  "belongs to it is unknown");
  }
}

void CheckOutputs(const Problem& p, const Buffers& b, const BufferShapes& s,
                  BufferCheck* check) {
  check->Required("o", b.o, s.o);
  check->OptionalWide("final_state", b.final_state, s.state);
  check->OptionalWide("max_logits", b.max_logits, s.row);
  if (p.phase == Phase::kExtend || p.phase == Phase::kDecode) {
    constexpr std::string_view kWhy = "lives in the cache in this phase";
    check->Refuse("initial_state", b.initial_state, kWhy);
    check->Refuse("final_state", b.final_state, kWhy);
  }
  check->OptionalWide("lse", b.lse, s.row);
  check->OptionalWide("o_local", b.o_local, s.o);
  check->OptionalWide("o_memory", b.o_memory, s.o);
  if (p.phase != Phase::kTrain) return;
  if (HasLocal(p.spec)) {
    check->RequiredWide("lse", b.lse, s.row);
    check->RequiredWide("o_local", b.o_local, s.o);
  }
  if (HasMemory(p.spec)) check->RequiredWide("o_memory", b.o_memory, s.o);
}

void CheckGradients(const Buffers& b, const BufferShapes& s,
                    BufferCheck* check) {
  check->Required("d_o", b.d_o, s.o);
  check->OptionalWide("d_final_state", b.d_final_state, s.state);
  check->Optional("dq", b.dq, s.q);
  check->Optional("dk", b.dk, s.k);
  check->Optional("dv", b.dv, s.v);
  check->Optional("dq_memory", b.dq_memory, s.q);
  check->Optional("dk_memory", b.dk_memory, s.k);
  check->OptionalWide("d_norm_local", b.d_norm_local, s.norm);
  check->OptionalWide("d_norm_memory", b.d_norm_memory, s.norm);
  check->OptionalWide("d_sink_logit", b.d_sink_logit, s.sink);
  check->OptionalWide("d_initial_state", b.d_initial_state, s.state);
}

}  // namespace

Support RefuseSoftcap(const Problem& problem) {
  if (problem.local_softcap == 0) return {};
  return {fmt::format(
      "scores capped at {} are computed by the backends reference and cpu only",
      problem.local_softcap)};
}

Support CheckProblem(const Problem& problem) {
  for (std::string reason :
       {CheckShape(problem.shape),
        CheckSpec(problem.spec, problem.shape.query_heads), CheckPhase(problem),
        CheckPack(problem), CheckNumbers(problem)}) {
    if (!reason.empty()) return {std::move(reason)};
  }
  return {};
}

Support CheckBuffers(const Problem& problem, const Buffers& buffers,
                     bool backward) {
  const BufferShapes shapes(problem);
  BufferCheck check(problem);
  CheckInputs(problem, buffers, shapes, &check);
  CheckOutputs(problem, buffers, shapes, &check);
  if (backward) CheckGradients(buffers, shapes, &check);
  return {check.reason()};
}

}  // namespace rattn
