// All window arithmetic. W counts the keys that a query sees, itself included:
// query i sees keys i-W+1..i. The paper's w and FlashAttention's left window
// are W-1, Mistral's W is W. Positions are 0-based; ranges are half open.
// All of it is constexpr, so that device code may call it as well.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/mixer_spec.h"

namespace rattn {

inline constexpr int64_t kUnboundedWindow =
    std::numeric_limits<int64_t>::max() / 4;

struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;  // exclusive; begin >= end means empty
  constexpr int64_t size() const { return std::max<int64_t>(end - begin, 0); }
  bool operator==(const KeyRange&) const = default;
};

// W of a local branch; kUnboundedWindow for full causal attention.
constexpr int64_t LocalWindow(const LocalSpec& local) {
  return local.kind == LocalKind::kCausal ? kUnboundedWindow
                                          : local.window_keys;
}

constexpr int64_t SinkCount(const LocalSpec& local) {
  return local.kind == LocalKind::kWindowSinks ? local.sinks : 0;
}

// Keys that query i sees through the window (sinks not counted in).
constexpr KeyRange WindowRange(int64_t i, int64_t window_keys) {
  return {std::max<int64_t>(i - window_keys + 1, 0), i + 1};
}

// Union of WindowRange over the queries [first, last).
constexpr KeyRange BlockWindowRange(int64_t first, int64_t last,
                                    int64_t window_keys) {
  return {WindowRange(first, window_keys).begin, last};
}

// Queries that see key j through the window, among `length` positions.
constexpr KeyRange SeenByRange(int64_t j, int64_t window_keys, int64_t length) {
  return {j, std::min(j + std::min(window_keys, length), length)};
}

// Whether query i sees key j: the definition that every fast path is held to.
constexpr bool LocalVisible(const LocalSpec& local, int64_t i, int64_t j) {
  if (local.kind == LocalKind::kNone || j > i || j < 0) return false;
  return i - j < LocalWindow(local) || j < SinkCount(local);
}

// The memory read of query i covers the tokens j <= i - MemoryDelay.
constexpr int64_t MemoryDelay(const MixerSpec& spec) {
  return spec.memory.reads == MemoryReads::kOutsideWindow
             ? spec.memory_window_keys
             : 0;
}

constexpr bool MemoryVisible(const MixerSpec& spec, int64_t i, int64_t j) {
  return HasMemory(spec) && j >= 0 && j <= i - MemoryDelay(spec);
}

// SinkPositions::kSlot. Distances inside the window are true; seen from a
// sink, query i stands at this position and the sink at its own index.
constexpr int64_t SinkQueryPosition(const LocalSpec& local, int64_t i) {
  if (local.sink_positions == SinkPositions::kTrue) return i;
  return std::min(i, local.sinks + local.window_keys - 1);
}

// Query-key pairs of one head that the local branch computes over a sequence
// of `length` tokens: the useful work, never a density estimate.
constexpr int64_t VisiblePairs(const LocalSpec& local, int64_t length) {
  if (local.kind == LocalKind::kNone || length <= 0) return 0;
  const int64_t reach = std::min(LocalWindow(local) + SinkCount(local), length);
  return reach * length - reach * (reach - 1) / 2;
}

// Tokens that can reach the last one through `layers` layers of window W
// (Mistral 7B: 32 * 4095 + 1 = 131,041).
constexpr int64_t ReceptiveField(int64_t layers, int64_t window_keys) {
  return layers * (window_keys - 1) + 1;
}

}  // namespace rattn
