#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "kernels/cpu/bf16_fused.h"
#include "kernels/cpu/branch.h"
#include "kernels/cpu/cache_step.h"
#include "kernels/cpu/combine.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/pack_calls.h"
#include "kernels/cpu/softmax_attention.h"
#include "kernels/cpu/useful_threads.h"

namespace rattn {
namespace {

using Axes = std::array<int64_t, 4>;

TensorView TakeTensor(const Axes& shape, Arena* arena) {
  return Contiguous(
      arena->Take<float>(shape[0] * shape[1] * shape[2] * shape[3]),
      Dtype::kF32, shape);
}

Axes OutShape(const Problem& p) {
  return {p.shape.batch, p.shape.query_len, p.shape.query_heads,
          p.shape.value_dim};
}

bool BothBranches(const MixerSpec& spec) {
  return HasLocal(spec) && HasMemory(spec);
}

// A single branch without norm is the output itself.
bool NeedsCombine(const MixerSpec& spec) {
  return BothBranches(spec) || UsesNorms(spec);
}

// Where the branches write: what Backward needs kept, o itself, or workspace.
struct BranchOutputs {
  BranchOutputs(const Problem& p, const Buffers& buffers, Arena* arena) {
    const auto choose = [&](bool used, const TensorView& kept) {
      if (!used) return TensorView{};
      if (kept) return kept;
      if (!NeedsCombine(p.spec)) return buffers.o;
      return TakeTensor(OutShape(p), arena);
    };
    local = choose(HasLocal(p.spec), buffers.o_local);
    memory = choose(HasMemory(p.spec), buffers.o_memory);
  }
  // The output, unless a branch wrote it already.
  void Finish(const Problem& p, const Buffers& buffers) const {
    if (NeedsCombine(p.spec)) {
      CombineForward(p, buffers, local, memory);
      return;
    }
    const TensorView& only = local ? local : memory;
    if (only.data != buffers.o.data) ConvertRows(only, buffers.o, p.threads);
  }

  TensorView local, memory;
};

// Gradients of one input: summed up in fp32 where the caller's tensor can hold
// that, in workspace otherwise, and rounded once.
class GradientSum {
 public:
  GradientSum(const Axes& shape, const TensorView& wanted, Arena* arena)
      : wanted_(wanted) {
    const bool direct =
        wanted && wanted.dtype == Dtype::kF32 && wanted.stride[3] == 1;
    sum_ = direct ? wanted : TakeTensor(shape, arena);
  }
  const TensorView& sum() const { return sum_; }
  void Finish(int threads) const {
    if (wanted_ && wanted_.data != sum_.data) {
      ConvertRows(sum_, wanted_, threads);
    }
  }

 private:
  TensorView wanted_, sum_;
};

struct Gradients {
  Gradients(const Problem& p, const Buffers& b, Arena* arena)
      : q({p.shape.batch, p.shape.query_len, p.shape.query_heads,
           p.shape.head_dim},
          b.dq, arena),
        k({p.shape.batch, p.shape.key_len, p.shape.kv_heads, p.shape.head_dim},
          b.dk, arena),
        v({p.shape.batch, p.shape.key_len, p.shape.kv_heads, p.shape.value_dim},
          b.dv, arena),
        q_memory(q.sum().shape, b.dq_memory, arena),
        k_memory(k.sum().shape, b.dk_memory, arena) {}

  GradientSum q, k, v, q_memory, k_memory;
};

// Gradients of the branch outputs. Without norms they are d_o itself.
struct OutputGradients {
  OutputGradients(const Problem& p, const Buffers& b, Arena* arena)
      : local(b.d_o), memory(b.d_o) {
    if (!UsesNorms(p.spec)) return;
    if (HasLocal(p.spec)) local = TakeTensor(OutShape(p), arena);
    if (HasMemory(p.spec)) memory = TakeTensor(OutShape(p), arena);
  }

  TensorView local, memory;
};

// The problem on as many threads as its work keeps busy. `context` counts the
// cached tokens.
Problem WithUsefulThreads(const Problem& problem, int64_t context) {
  Problem useful = problem;
  useful.threads = UsefulThreads(problem, context);
  return useful;
}

// Both branches in one pass: nothing is left to combine.
void FusedForward(const Problem& problem, const Buffers& buffers,
                  Workspace workspace) {
  Arena arena(workspace.data);
  const PreparedLocal prepared = TakeLocal(problem, buffers, 0, &arena);
  FillLocal(problem, buffers, prepared);
  Bf16FusedForward(prepared.inputs, buffers, arena.Rest(workspace));
}
size_t FusedBytes(const Problem& p) {
  return BytesOf([&](Arena* arena) { TakeLocal(p, Buffers{}, 0, arena); }) +
         Bf16FusedBytes(p);
}

size_t ForwardBytes(const Problem& p, bool fuse) {
  if (fuse && UsesBf16Fused(p)) return FusedBytes(p);
  size_t branch = 0;
  if (HasLocal(p.spec)) branch = std::max(branch, LocalScratchBytes(p));
  if (HasMemory(p.spec)) branch = std::max(branch, MemoryScratchBytes(p));
  return branch +
         BytesOf([&](Arena* arena) { BranchOutputs(p, Buffers{}, arena); });
}

size_t BackwardBytes(const Problem& p) {
  size_t branch = CombineScratchBytes(p);
  if (HasLocal(p.spec)) branch = std::max(branch, LocalScratchBytes(p));
  if (HasMemory(p.spec)) branch = std::max(branch, MemoryScratchBytes(p));
  return branch + BytesOf([&](Arena* arena) {
           OutputGradients(p, Buffers{}, arena);
           Gradients(p, Buffers{}, arena);
         });
}

size_t CallBytes(const Problem& problem, bool fuse) {
  switch (problem.phase) {
    case Phase::kForward:
      return ForwardBytes(problem, fuse);
    case Phase::kTrain:
      return std::max(ForwardBytes(problem, fuse), BackwardBytes(problem));
    case Phase::kExtend:
    case Phase::kDecode:
      return CacheStepScratchBytes(problem) + BytesOf([&](Arena* arena) {
               BranchOutputs(problem, Buffers{}, arena);
             });
  }
  return 0;
}

class Cpu : public Backend {
 public:
  Cpu(std::string_view name, bool fuse) : name_(name), fuse_(fuse) {}

  std::string_view name() const override { return name_; }

  std::string description() const override {
    const Support isa = IsaSupport();
    std::string text = "blockwise SIMD kernels, OpenMP threads; running on " +
                       std::string(CpuIsa());
    return isa.ok() ? text : text + " (" + isa.reason + ")";
  }

  Support Supports(const Problem& problem) const override {
    if (Support support = CheckProblem(problem); !support.ok()) return support;
    if (Support isa = IsaSupport(); !isa.ok()) return isa;
    if (problem.dtype != Dtype::kF32 && problem.dtype != Dtype::kBF16) {
      return {
          "the cpu backend computes fp32 and bf16: use the reference "
          "backend for fp64 and fp16"};
    }
    return {};
  }

  // Calls may use fewer threads than they are given, and fewer can need more:
  // work is then divided in another way.
  size_t WorkspaceBytes(const Problem& whole) const override {
    if (!whole.cu_seqlens.empty()) return PackBytes(*this, whole);
    size_t most = 0;
    Problem problem = whole;
    for (problem.threads = 1; problem.threads <= whole.threads;
         ++problem.threads) {
      most = std::max(most, CallBytes(problem, fuse_));
    }
    return most;
  }

  void Forward(const Problem& whole, const Buffers& buffers,
               Workspace workspace) const override {
    if (!whole.cu_seqlens.empty()) {
      ForwardPack(*this, whole, buffers, workspace);
      return;
    }
    const Problem problem = WithUsefulThreads(whole, 0);
    if (fuse_ && UsesBf16Fused(problem)) {
      FusedForward(problem, buffers, workspace);
      return;
    }
    Arena arena(workspace.data);
    const BranchOutputs out(problem, buffers, &arena);
    const Workspace rest = arena.Rest(workspace);
    if (out.local) {
      LocalForward(problem, buffers, out.local, buffers.lse, buffers.max_logits,
                   rest);
    }
    if (out.memory) {
      MemoryForward(problem, buffers, out.memory, TensorView{}, rest);
    }
    out.Finish(problem, buffers);
  }

  void Backward(const Problem& whole, const Buffers& buffers,
                Workspace workspace) const override {
    if (!whole.cu_seqlens.empty()) {
      BackwardPack(*this, whole, buffers, workspace);
      return;
    }
    const Problem problem = WithUsefulThreads(whole, 0);
    const MixerSpec& spec = problem.spec;
    Arena arena(workspace.data);
    const OutputGradients d_out(problem, buffers, &arena);
    const Gradients to(problem, buffers, &arena);
    const Workspace rest = arena.Rest(workspace);
    if (UsesNorms(spec)) {
      CombineBackward(problem, buffers, buffers.o_local, buffers.o_memory,
                      d_out.local, d_out.memory, rest);
    }
    const bool own_q = static_cast<bool>(buffers.q_memory);
    const bool own_k = static_cast<bool>(buffers.k_memory);
    ClearUnread(problem, own_q, own_k, to);
    if (HasLocal(spec)) {
      const BranchGrads grads = {to.q.sum(), to.k.sum(), to.v.sum()};
      LocalBackward(problem, buffers, buffers.o_local, d_out.local, grads,
                    rest);
    }
    if (HasMemory(spec)) {
      const bool shared = HasLocal(spec);
      BranchGrads grads = {(own_q ? to.q_memory : to.q).sum(),
                           (own_k ? to.k_memory : to.k).sum(), to.v.sum()};
      grads.accumulate_q =
          shared && !own_q && spec.combine != Combine::kSplitHeads;
      grads.accumulate_k = shared && !own_k;
      grads.accumulate_v = shared;
      MemoryBackward(problem, buffers, buffers.o_memory, d_out.memory, grads,
                     rest);
    }
    for (const GradientSum* sum :
         {&to.q, &to.k, &to.v, &to.q_memory, &to.k_memory}) {
      sum->Finish(problem.threads);
    }
  }

  void Extend(const Problem& whole, const Buffers& buffers, KvCache& cache,
              Workspace workspace) const override {
    const Problem problem = WithUsefulThreads(whole, cache.length());
    Arena arena(workspace.data);
    const BranchOutputs out(problem, buffers, &arena);
    CacheStep(problem, buffers, cache, out.local, out.memory,
              arena.Rest(workspace));
    out.Finish(problem, buffers);
  }

 private:
  // Inputs that no branch reads, or only some heads of, have zero gradients
  // where the branches do not write.
  static void ClearUnread(const Problem& problem, bool own_q, bool own_k,
                          const Gradients& to) {
    const MixerSpec& spec = problem.spec;
    const int64_t heads = problem.shape.query_heads;
    const auto clear = [&](const GradientSum& sum) {
      FillHeads(sum.sum(), {0, sum.sum().shape[2]}, 0, problem.threads);
    };
    const bool split = spec.combine == Combine::kSplitHeads;
    const bool memory_reads_q = HasMemory(spec) && !own_q;
    if (own_q && (split || !HasMemory(spec))) clear(to.q_memory);
    if (own_k && !HasMemory(spec)) clear(to.k_memory);
    if (!memory_reads_q && LocalHeads(spec, heads).size() < heads) {
      clear(to.q);
    }
    if (!HasLocal(spec) && own_k) clear(to.k);
  }

  const std::string_view name_;
  const bool fuse_;  // whether branches may share a pass
};

}  // namespace

const Backend* CpuBackend() {
  static const Cpu backend("cpu", true);
  return &backend;
}

const Backend* UnfusedCpuBackend() {
  static const Cpu backend("cpu-unfused", false);
  return &backend;
}

}  // namespace rattn
