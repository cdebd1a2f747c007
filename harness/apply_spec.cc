// The options of `rattn apply` as a spec and a problem.
#include "harness/apply_spec.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr std::array kPhases = {
    std::pair{std::string_view("forward"), Phase::kForward},
    std::pair{std::string_view("train"), Phase::kTrain},
    std::pair{std::string_view("extend"), Phase::kExtend},
    std::pair{std::string_view("decode"), Phase::kDecode},
};

constexpr std::array kLayouts = {
    std::pair{std::string_view("half_split"), RopeLayout::kHalfSplit},
    std::pair{std::string_view("interleaved"), RopeLayout::kInterleaved},
};

template <typename E, size_t n>
constexpr auto Named(const E (&values)[n]) {
  std::array<std::pair<std::string_view, E>, n> named;
  for (size_t i = 0; i < n; ++i) named[i] = {Name(values[i]), values[i]};
  return named;
}

// The value that `text` spells. Throws UserError.
template <typename Table>
auto Parse(std::string_view what, const std::string& text, const Table& table) {
  std::vector<std::string> known;
  for (const auto& [name, value] : table) {
    if (name == text) return value;
    known.emplace_back(name);
  }
  throw UserError(fmt::format("unknown {} \"{}\" (known: {}){}", what, text,
                              fmt::join(known, ", "),
                              NearestHint(text, known)));
}

template <typename E, typename Table>
void Override(std::string_view what, const std::string& text,
              const Table& table, E* field) {
  if (!text.empty()) *field = Parse(what, text, table);
}

const Variant& VariantNamed(const std::string& name) {
  if (const Variant* variant = FindVariant(name)) return *variant;
  std::vector<std::string> known;
  for (const Variant& variant : Catalog()) known.emplace_back(variant.name);
  throw UserError(
      fmt::format("unknown variant \"{}\"{}", name, NearestHint(name, known)));
}

bool TakesWindow(const MixerSpec& spec) {
  return spec.local.kind == LocalKind::kWindow ||
         spec.local.kind == LocalKind::kWindowSinks ||
         (HasMemory(spec) && spec.memory.reads == MemoryReads::kOutsideWindow);
}

}  // namespace

MixerSpec ApplySpec(const ApplyOptions& options) {
  Variant variant = VariantNamed(options.variant);
  MixerSpec& spec = variant.spec;
  Override("local branch", options.local,
           Named({LocalKind::kNone, LocalKind::kCausal, LocalKind::kWindow,
                  LocalKind::kWindowSinks}),
           &spec.local.kind);
  Override("sink positions", options.sink_positions,
           Named({SinkPositions::kTrue, SinkPositions::kSlot}),
           &spec.local.sink_positions);
  Override("memory", options.memory,
           Named({MemoryKind::kNone, MemoryKind::kLinear}), &spec.memory.kind);
  Override(
      "feature map", options.feature_map,
      Named({FeatureMap::kSoftmax, FeatureMap::kRelu, FeatureMap::kIdentity}),
      &spec.memory.feature_map);
  Override("normalizer", options.normalizer,
           Named({Normalizer::kNone, Normalizer::kSum}),
           &spec.memory.normalizer);
  Override("reads", options.reads,
           Named({MemoryReads::kEverything, MemoryReads::kOutsideWindow}),
           &spec.memory.reads);
  Override("combination", options.combine,
           Named({Combine::kSum, Combine::kSumOfNorms, Combine::kMeanOfNorms,
                  Combine::kSplitHeads}),
           &spec.combine);
  variant.takes_window = TakesWindow(spec);
  MixerSpec made;
  std::string reason;
  if (!MakeSpec(variant, options.params, &made, &reason)) {
    throw UserError(reason);
  }
  return made;
}

Problem ApplyProblem(const ApplyOptions& options, const Shape& shape) {
  Problem problem;
  problem.spec = ApplySpec(options);
  problem.phase = Parse("phase", options.phase, kPhases);
  problem.shape = shape;
  problem.dtype = Parse("dtype", options.dtype,
                        Named({Dtype::kF64, Dtype::kF32, Dtype::kBF16}));
  problem.positions = {
      .rope = options.rope_theta != 0,
      .theta = options.rope_theta,
      .layout = Parse("RoPE layout", options.rope_layout, kLayouts)};
  problem.local_scale = options.local_scale;
  problem.memory_scale = options.memory_scale;
  problem.tiling = options.tiling;
  problem.threads = options.threads;
  return problem;
}

const Backend& ApplyBackend(const ApplyOptions& options) {
  std::string reason;
  const Backend* backend = FindBackend(options.backend, &reason);
  if (backend == nullptr) {
    throw UserError(fmt::format("backend {}: {}", options.backend, reason));
  }
  return *backend;
}

}  // namespace rattn
