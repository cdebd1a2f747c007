#include "kernels/catalog.h"

#include <fmt/format.h>

#include <array>

#include "kernels/window.h"

namespace rattn {
namespace {

constexpr int64_t kDefaultSinks = 4;  // StreamingLLM, start_size

constexpr MixerSpec LocalOnly(LocalKind kind, int64_t sinks = 0,
                              SinkPositions positions = SinkPositions::kTrue) {
  MixerSpec spec;
  spec.local = {.kind = kind, .sinks = sinks, .sink_positions = positions};
  return spec;
}

constexpr MixerSpec LinearOnly(FeatureMap map,
                               MemoryReads reads = MemoryReads::kEverything,
                               Combine combine = Combine::kSum) {
  MixerSpec spec;
  spec.memory = {
      .kind = MemoryKind::kLinear, .feature_map = map, .reads = reads};
  spec.combine = combine;
  return spec;
}

constexpr MixerSpec WindowAndMemory(FeatureMap map, Combine combine) {
  MixerSpec spec = LinearOnly(map, MemoryReads::kOutsideWindow, combine);
  spec.local.kind = LocalKind::kWindow;
  return spec;
}

constexpr std::string_view kAblations = "arXiv 2506.15545, table 4";
constexpr std::string_view kSinks = "arXiv 2309.17453, section 3.2";
constexpr std::string_view kLinear = "arXiv 2006.16236, section 3.2";

constexpr std::array kCatalog = {
    Variant{"full", "causal softmax attention over every earlier token",
            "arXiv 1706.03762, section 3.2.1", LocalOnly(LocalKind::kCausal),
            false, false},
    Variant{"swa", "sliding window attention: the last W keys",
            "arXiv 2310.06825, section 2", LocalOnly(LocalKind::kWindow), true,
            false},
    Variant{"swa+sinks",
            "sliding window plus the first keys, at their true positions",
            kSinks, LocalOnly(LocalKind::kWindowSinks, kDefaultSinks), true,
            false},
    Variant{
        "swa+sinks-slot",
        "sliding window plus the first keys, at cache-slot positions", kSinks,
        LocalOnly(LocalKind::kWindowSinks, kDefaultSinks, SinkPositions::kSlot),
        true, false},
    Variant{"linear", "linear attention, [softmax(x), softmax(-x)] features",
            kLinear, LinearOnly(FeatureMap::kSoftmax), false, false},
    Variant{"linear-relu", "linear attention, [relu(x), relu(-x)] features",
            kLinear, LinearOnly(FeatureMap::kRelu), false, false},
    Variant{"linear-identity", "linear attention on the raw queries and keys",
            kLinear, LinearOnly(FeatureMap::kIdentity), false, false},
    Variant{"rla",
            "residual linear attention: reads only what a window leaves out",
            "arXiv 2506.15545, section 3",
            LinearOnly(FeatureMap::kSoftmax, MemoryReads::kOutsideWindow), true,
            false},
    Variant{"rattention",
            "sliding window plus residual linear attention, each normed",
            "arXiv 2506.15545, section 3",
            WindowAndMemory(FeatureMap::kSoftmax, Combine::kSumOfNorms), true,
            false},
    Variant{"rattention-no-norm", "rattention without its group norm",
            kAblations, WindowAndMemory(FeatureMap::kSoftmax, Combine::kSum),
            true, true},
    Variant{"rattention-no-swa",
            "rattention without its window: a normed linear memory", kAblations,
            LinearOnly(FeatureMap::kSoftmax, MemoryReads::kEverything,
                       Combine::kSumOfNorms),
            false, true},
    Variant{"rattention-relu", "rattention with relu features", kAblations,
            WindowAndMemory(FeatureMap::kRelu, Combine::kSumOfNorms), true,
            true},
    Variant{"rattention-identity", "rattention without a feature map",
            kAblations,
            WindowAndMemory(FeatureMap::kIdentity, Combine::kSumOfNorms), true,
            true},
    Variant{"rattention-split-heads",
            "half the heads are windows, half memories (Hymba stacking)",
            kAblations,
            WindowAndMemory(FeatureMap::kSoftmax, Combine::kSplitHeads), true,
            true},
};

std::string DescribeLocal(const LocalSpec& local) {
  switch (local.kind) {
    case LocalKind::kNone:
      return "";
    case LocalKind::kCausal:
      return "causal";
    case LocalKind::kWindow:
      return fmt::format("window({})", local.window_keys);
    case LocalKind::kWindowSinks:
      return fmt::format("window({}) + sinks({}, {})", local.window_keys,
                         local.sinks, Name(local.sink_positions));
  }
  return "";
}

std::string DescribeMemory(const MixerSpec& spec) {
  if (!HasMemory(spec)) return "";
  const MemorySpec& memory = spec.memory;
  std::string reads(Name(memory.reads));
  if (memory.reads == MemoryReads::kOutsideWindow && !HasLocal(spec)) {
    reads += fmt::format("({})", spec.memory_window_keys);
  }
  return fmt::format(
      "{}({}, {}{})", Name(memory.kind), Name(memory.feature_map), reads,
      memory.normalizer == Normalizer::kSum ? ", normalized" : "");
}

}  // namespace

std::span<const Variant> Catalog() { return kCatalog; }

const Variant* FindVariant(std::string_view name) {
  for (const Variant& variant : kCatalog) {
    if (variant.name == name) return &variant;
  }
  return nullptr;
}

bool MakeSpec(const Variant& variant, const VariantParams& params,
              MixerSpec* spec, std::string* reason) {
  const bool has_sinks = variant.spec.local.kind == LocalKind::kWindowSinks;
  if (variant.takes_window &&
      (params.window_keys < 1 || params.window_keys > kUnboundedWindow)) {
    *reason = fmt::format("variant {} needs a window of at least 1 key, got {}",
                          variant.name, params.window_keys);
    return false;
  }
  if (!variant.takes_window && params.window_keys != 0) {
    *reason = fmt::format("variant {} takes no window, got {}", variant.name,
                          params.window_keys);
    return false;
  }
  if (!has_sinks && params.sinks > 0) {
    *reason = fmt::format("variant {} takes no sinks, got {}", variant.name,
                          params.sinks);
    return false;
  }
  if (params.sinks < -1) {
    *reason = fmt::format("variant {} needs 0 or more sinks, got {}",
                          variant.name, params.sinks);
    return false;
  }
  *spec = variant.spec;
  if (has_sinks && params.sinks >= 0) spec->local.sinks = params.sinks;
  if (variant.takes_window && HasLocal(*spec)) {
    spec->local.window_keys = params.window_keys;
  }
  if (spec->memory.reads == MemoryReads::kOutsideWindow) {
    spec->memory_window_keys = params.window_keys;
  }
  return true;
}

std::string Describe(const MixerSpec& spec) {
  const std::string local = DescribeLocal(spec.local);
  const std::string memory = DescribeMemory(spec);
  const bool both = HasLocal(spec) && HasMemory(spec);
  std::string text = local + (both ? " + " : "") + memory;
  if (both || UsesNorms(spec)) {
    text += fmt::format(" | {}", Name(spec.combine));
  }
  return text;
}

std::string_view Name(LocalKind kind) {
  switch (kind) {
    case LocalKind::kNone:
      return "none";
    case LocalKind::kCausal:
      return "causal";
    case LocalKind::kWindow:
      return "window";
    case LocalKind::kWindowSinks:
      return "window_sinks";
  }
  return "?";
}

std::string_view Name(SinkPositions positions) {
  return positions == SinkPositions::kTrue ? "true" : "slot";
}

std::string_view Name(MemoryKind kind) {
  return kind == MemoryKind::kNone ? "none" : "linear";
}

std::string_view Name(FeatureMap map) {
  switch (map) {
    case FeatureMap::kSoftmax:
      return "softmax";
    case FeatureMap::kRelu:
      return "relu";
    case FeatureMap::kIdentity:
      return "identity";
  }
  return "?";
}

std::string_view Name(Normalizer normalizer) {
  return normalizer == Normalizer::kNone ? "none" : "sum";
}

std::string_view Name(MemoryReads reads) {
  return reads == MemoryReads::kEverything ? "everything" : "outside_window";
}

std::string_view Name(Combine combine) {
  switch (combine) {
    case Combine::kSum:
      return "sum";
    case Combine::kSumOfNorms:
      return "sum_of_norms";
    case Combine::kMeanOfNorms:
      return "mean_of_norms";
    case Combine::kSplitHeads:
      return "split_heads";
  }
  return "?";
}

}  // namespace rattn
