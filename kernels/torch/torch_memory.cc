#include "kernels/torch/torch_memory.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "kernels/window.h"

namespace rattn {
namespace {

constexpr int64_t kChunk = 128;

// [B, H, n, D] -> [B, H, n / C, C, D], zeros behind the end.
at::Tensor Chunks(const at::Tensor& x) {
  const int64_t missing = (kChunk - x.size(2) % kChunk) % kChunk;
  return at::constant_pad_nd(x, {0, 0, 0, missing}).unflatten(2, {-1, kChunk});
}

at::Tensor Normed(const at::Tensor& x, const at::Tensor& scale) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor rows =
      wide / (wide.square().mean(-1, /*keepdim=*/true) + kNormEpsilon).sqrt();
  return scale.defined() ? rows * scale.unsqueeze(1).to(at::kFloat) : rows;
}

}  // namespace

at::Tensor MapFeatures(FeatureMap map, const at::Tensor& x) {
  switch (map) {
    case FeatureMap::kSoftmax:
      return at::cat({x.softmax(-1), (-x).softmax(-1)}, -1);
    case FeatureMap::kRelu:
      return at::cat({x.relu(), (-x).relu()}, -1);
    case FeatureMap::kIdentity:
      return x;
  }
  return x;
}

Support SupportsChunkwiseMemory(const Problem& p) {
  if (p.phase != Phase::kForward) {
    return {"the torch baseline computes memories in the forward only"};
  }
  if (p.spec.memory.normalizer != Normalizer::kNone) {
    return {"the torch baseline has no normalized memories"};
  }
  if (p.spec.combine == Combine::kSplitHeads) {
    return {"the torch baseline does not split heads between branches"};
  }
  if (p.state_per_query_head) {
    return {"the torch baseline has one state per KV head"};
  }
  if (p.shape.query_len != p.shape.key_len) {
    return {"the torch baseline needs a query for every key of a memory"};
  }
  return {};
}

at::Tensor ChunkwiseMemory(const Problem& p, const at::Tensor& q,
                           const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& initial_state,
                           at::Tensor* final_state) {
  const FeatureMap map = p.spec.memory.feature_map;
  const int64_t length = p.shape.key_len, group = GroupSize(p.shape);
  const int64_t delay = std::min(MemoryDelay(p.spec), length);
  const int64_t read = length - delay;  // tokens, and queries that read some
  const at::Tensor phi_q = MapFeatures(map, q) * p.memory_scale;
  const at::Tensor start = initial_state.defined()
                               ? initial_state.to(at::kFloat)
                               : at::zeros({p.shape.batch, p.shape.kv_heads,
                                            FeatureDim(p), p.shape.value_dim},
                                           at::kFloat);
  const auto per_query_head = [&](const at::Tensor& x) {
    return x.to(q.scalar_type()).repeat_interleave(group, 1);
  };
  at::Tensor out = at::matmul(phi_q.narrow(2, 0, delay), per_query_head(start));
  if (final_state != nullptr) *final_state = start;
  if (read == 0) return out;

  const at::Tensor queries = Chunks(phi_q.narrow(2, delay, read));
  const at::Tensor keys = Chunks(MapFeatures(map, k.narrow(2, 0, read)));
  const at::Tensor values = Chunks(v.narrow(2, 0, read));
  const at::Tensor sums =
      at::matmul(keys.transpose(-1, -2), values).to(at::kFloat).cumsum(2) +
      start.unsqueeze(2);
  if (final_state != nullptr) *final_state = sums.select(2, -1);
  const at::Tensor before =
      at::cat({start.unsqueeze(2), sums.narrow(2, 0, sums.size(2) - 1)}, 2);
  const at::Tensor scores =
      at::matmul(queries, per_query_head(keys).transpose(-1, -2)).tril();
  const at::Tensor late = at::matmul(queries, per_query_head(before)) +
                          at::matmul(scores, per_query_head(values));
  return at::cat({out, late.flatten(2, 3).narrow(2, 0, read)}, 2);
}

at::Tensor CombineBranches(const Problem& p, const at::Tensor& local,
                           const at::Tensor& memory,
                           const at::Tensor& norm_local,
                           const at::Tensor& norm_memory) {
  const bool norms = UsesNorms(p.spec);
  const auto branch = [&](const at::Tensor& o, const at::Tensor& scale) {
    return norms && o.defined() ? Normed(o, scale) : o;
  };
  const at::Tensor x = branch(local, norm_local);
  const at::Tensor y = branch(memory, norm_memory);
  if (!y.defined()) return x;
  if (!x.defined()) return y;
  const at::Tensor sum = x + y;
  return p.spec.combine == Combine::kMeanOfNorms ? sum / 2 : sum;
}

}  // namespace rattn
