#include "harness/kernel_call.h"

#include <algorithm>

namespace rattn {
namespace {

constexpr int64_t kPrefillTokens = 1024;

enum Stream : uint64_t { kQuery, kKey, kValue, kGradient };

std::array<int64_t, 4> RowsOf(const Shape& s, int64_t tokens, int64_t heads,
                              int64_t dim) {
  return {s.batch, tokens, heads, dim};
}

}  // namespace

KernelInputs::KernelInputs(const KernelCase& kernel) {
  const Shape& s = kernel.problem.shape;
  const Dtype dtype = kernel.problem.dtype;
  const int64_t tokens = kernel.context + s.key_len;
  const auto random = [&](int64_t heads, int64_t dim, Stream stream) {
    return RandomTensor(dtype, RowsOf(s, tokens, heads, dim), kernel.seed,
                        stream);
  };
  q = random(s.query_heads, s.head_dim, kQuery);
  k = random(s.kv_heads, s.head_dim, kKey);
  v = random(s.kv_heads, s.value_dim, kValue);
  if (kernel.problem.phase == Phase::kTrain) {
    d_o = random(s.query_heads, s.value_dim, kGradient);
  }
}

double LeastBytes(const KernelCase& kernel) {
  const Shape& s = kernel.problem.shape;
  const auto rows = [&](int64_t tokens, int64_t heads, int64_t dim) {
    return static_cast<double>(s.batch) * static_cast<double>(tokens) *
           static_cast<double>(heads) * static_cast<double>(dim);
  };
  const int64_t all = kernel.context + s.key_len;
  const double inputs = rows(all, s.query_heads, s.head_dim) +
                        rows(all, s.kv_heads, s.head_dim) +
                        rows(all, s.kv_heads, s.value_dim);
  const double out = rows(s.query_len, s.query_heads, s.value_dim);
  const bool train = kernel.problem.phase == Phase::kTrain;
  const double values = train ? 2 * (inputs + out) : inputs + out;
  return values * static_cast<double>(ByteSize(kernel.problem.dtype));
}

KernelCall::KernelCall(const KernelCase& kernel, const Backend& backend,
                       const KernelInputs& inputs, int64_t caches)
    : kernel_(kernel), backend_(backend), inputs_(inputs) {
  const int64_t tokens = kernel.problem.shape.key_len;
  buffers_.q = Slice(inputs.q.view, 1, kernel.context, tokens);
  buffers_.k = Slice(inputs.k.view, 1, kernel.context, tokens);
  buffers_.v = Slice(inputs.v.view, 1, kernel.context, tokens);
  if (kernel.separate_keys) buffers_.k_memory = buffers_.k;
  MakeOutputs();
  if (UsesCache(kernel.problem.phase)) {
    Prefill();
    CopyCache(caches - 1);
  }
  workspace_ = AlignedBuffer(backend.WorkspaceBytes(kernel.problem));
}

// Copies differ in how many tokens wait for their state, so that successive
// calls are in successive places of a period.
void KernelCall::CopyCache(int64_t copies) {
  for (int64_t i = 1; i <= copies; ++i) {
    KvCache copy = caches_.front();
    if (HasMemory(kernel_.problem.spec)) {
      copy.SetPending(i % copy.absorb_every());
    }
    caches_.push_back(std::move(copy));
  }
}

int64_t KernelCall::Period() const {
  const Problem& problem = kernel_.problem;
  const bool defers =
      problem.phase == Phase::kDecode && HasMemory(problem.spec);
  return defers ? AbsorbEvery(problem) : 1;
}

void KernelCall::MakeOutputs() {
  const Problem& problem = kernel_.problem;
  const Shape& s = problem.shape;
  const auto make = [&](Dtype dtype, int64_t heads, int64_t dim) {
    owned_.push_back(MakeTensor(dtype, RowsOf(s, s.query_len, heads, dim)));
    return owned_.back().view;
  };
  const Dtype kept = problem.dtype == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32;
  buffers_.o = make(problem.dtype, s.query_heads, s.value_dim);
  if (problem.phase != Phase::kTrain) return;
  if (HasLocal(problem.spec)) {
    buffers_.lse = make(kept, s.query_heads, 1);
    buffers_.o_local = make(kept, s.query_heads, s.value_dim);
  }
  if (HasMemory(problem.spec)) {
    buffers_.o_memory = make(kept, s.query_heads, s.value_dim);
  }
  buffers_.d_o = inputs_.d_o.view;
  buffers_.dq = make(problem.dtype, s.query_heads, s.head_dim);
  buffers_.dk = make(problem.dtype, s.kv_heads, s.head_dim);
  buffers_.dv = make(problem.dtype, s.kv_heads, s.value_dim);
}

void KernelCall::Prefill() {
  caches_.emplace_back(kernel_.problem, kernel_.separate_keys,
                       backend_.cache_allocator());
  KvCache& cache = caches_.front();
  cache.Reserve(kernel_.context + kernel_.problem.shape.key_len);
  Problem piece = kernel_.problem;
  piece.phase = Phase::kExtend;
  for (int64_t done = 0; done < kernel_.context;) {
    const int64_t tokens = std::min(kPrefillTokens, kernel_.context - done);
    piece.shape.query_len = piece.shape.key_len = tokens;
    const Tensor o = MakeTensor(
        piece.dtype, RowsOf(piece.shape, tokens, piece.shape.query_heads,
                            piece.shape.value_dim));
    Buffers buffers;
    buffers.q = Slice(inputs_.q.view, 1, done, tokens);
    buffers.k = Slice(inputs_.k.view, 1, done, tokens);
    buffers.v = Slice(inputs_.v.view, 1, done, tokens);
    if (kernel_.separate_keys) buffers.k_memory = buffers.k;
    buffers.o = o.view;
    const AlignedBuffer scratch(backend_.WorkspaceBytes(piece));
    backend_.Extend(piece, buffers, cache, {scratch.data(), scratch.size()});
    done += tokens;
  }
}

void KernelCall::Run() {
  const Workspace workspace{workspace_.data(), workspace_.size()};
  if (UsesCache(kernel_.problem.phase)) {
    KvCache& cache = caches_[next_cache_];
    next_cache_ = (next_cache_ + 1) % caches_.size();
    backend_.Extend(kernel_.problem, buffers_, cache, workspace);
    cache.Advance(-kernel_.problem.shape.key_len);
    return;
  }
  backend_.Forward(kernel_.problem, buffers_, workspace);
  if (kernel_.problem.phase == Phase::kTrain) {
    backend_.Backward(kernel_.problem, buffers_, workspace);
  }
}

size_t KernelCall::CacheBytes() const {
  if (caches_.empty()) return 0;
  return caches_.front().KvBytes() + caches_.front().StateBytes();
}

}  // namespace rattn
