// What a mixer computes, as data: local branch + memory branch + combination.
// A named variant (kernels/catalog.h) is one value of MixerSpec; kernels,
// cost formulas, caches and help texts look only at these fields.
#pragma once

#include <cstdint>
#include <limits>

namespace rattn {

enum class LocalKind { kNone, kCausal, kWindow, kWindowSinks };

// RoPE positions of sink keys (StreamingLLM, arXiv 2309.17453, section 3.2).
// kTrue: every key keeps its position in the text. kSlot: positions count
// cache slots, so distances to sinks are compressed once keys were evicted.
enum class SinkPositions { kTrue, kSlot };

struct LocalSpec {
  LocalKind kind = LocalKind::kNone;
  // Keys a query sees, itself included (design.md "window_keys"; the paper's w
  // is one less). Used by kWindow and kWindowSinks.
  int64_t window_keys = 0;
  // Leading keys that stay visible besides the window; kWindowSinks only.
  int64_t sinks = 0;
  SinkPositions sink_positions = SinkPositions::kTrue;
};

enum class MemoryKind { kNone, kLinear };

// phi of linear attention, per head, computed in fp32 (paper, section 3).
// kSoftmax: [softmax(x), softmax(-x)], 2D features. kRelu: [relu(x),
// relu(-x)], 2D. kIdentity: x, D.
enum class FeatureMap { kSoftmax, kRelu, kIdentity };

// kNone: o = phi(q) S. kSum: o = phi(q) S / (phi(q) . sum phi(k) + 1e-10).
enum class Normalizer { kNone, kSum };

// kEverything: o_i reads the tokens j <= i. kOutsideWindow (RLA): o_i reads
// exactly the tokens that the window leaves out, j <= i - window_keys.
enum class MemoryReads { kEverything, kOutsideWindow };

struct MemorySpec {
  MemoryKind kind = MemoryKind::kNone;
  FeatureMap feature_map = FeatureMap::kSoftmax;
  Normalizer normalizer = Normalizer::kNone;
  MemoryReads reads = MemoryReads::kEverything;
};

// kSum: o = o_local + o_memory. kSumOfNorms: each branch passes an RMS norm
// per head with its own scale [query_heads, value_dim] first (the paper's
// GroupRMSNorm, eps 1e-8); a single branch is normed as well. kMeanOfNorms:
// half of that (Hymba). kSplitHeads: query heads h < Hq/2 take the normed
// local branch, the others the normed memory branch.
enum class Combine { kSum, kSumOfNorms, kMeanOfNorms, kSplitHeads };

struct MixerSpec {
  LocalSpec local;
  MemorySpec memory;
  // Window of MemoryReads::kOutsideWindow. Equals local.window_keys when both
  // branches exist; the memory alone (`rla`) has no other place for it.
  int64_t memory_window_keys = 0;
  Combine combine = Combine::kSum;
};

inline constexpr double kNormEpsilon = 1e-8;
inline constexpr double kNormalizerEpsilon = 1e-10;

constexpr bool HasLocal(const MixerSpec& spec) {
  return spec.local.kind != LocalKind::kNone;
}
constexpr bool HasMemory(const MixerSpec& spec) {
  return spec.memory.kind != MemoryKind::kNone;
}
constexpr bool UsesNorms(const MixerSpec& spec) {
  return spec.combine != Combine::kSum;
}

constexpr int64_t FeatureDim(FeatureMap map, int64_t head_dim) {
  return map == FeatureMap::kIdentity ? head_dim : 2 * head_dim;
}

// Query heads that a branch computes: all of them but with kSplitHeads.
struct HeadRange {
  int64_t begin = 0;
  int64_t end = 0;  // exclusive
  constexpr int64_t size() const { return end - begin; }
};
constexpr HeadRange LocalHeads(const MixerSpec& spec, int64_t query_heads) {
  if (!HasLocal(spec)) return {0, 0};
  if (spec.combine == Combine::kSplitHeads) return {0, query_heads / 2};
  return {0, query_heads};
}
constexpr HeadRange MemoryHeads(const MixerSpec& spec, int64_t query_heads) {
  if (!HasMemory(spec)) return {0, 0};
  if (spec.combine == Combine::kSplitHeads) {
    return {query_heads / 2, query_heads};
  }
  return {0, query_heads};
}

}  // namespace rattn
