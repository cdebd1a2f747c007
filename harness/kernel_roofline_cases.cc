#include "harness/kernel_roofline_cases.h"

#include <fmt/format.h>

#include "harness/mixer_fields.h"
#include "kernels/catalog.h"
#include "kernels/cuda/support.h"
#include "kernels/nearest_name.h"
#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

constexpr int64_t kLongest = int64_t{1} << 24;  // of contexts and batches

std::vector<std::string> Variants(const KernelRooflineFlags& flags) {
  if (!flags.variants.empty()) return flags.variants;
  std::vector<std::string> names;
  for (const Variant& variant : Catalog()) {
    if (!variant.ablation) names.emplace_back(variant.name);
  }
  return names;
}

// Null for a variant without a window.
std::vector<std::optional<int64_t>> Windows(const Variant& variant,
                                            const KernelRooflineFlags& flags) {
  if (!variant.takes_window) return {std::nullopt};
  if (flags.windows.empty()) return {flags.model.local.window_keys};
  return {flags.windows.begin(), flags.windows.end()};
}

Phase PhaseOf(const std::string& name) {
  if (name == "forward") return Phase::kForward;
  if (name == "train") return Phase::kTrain;
  throw UserError(
      fmt::format("--phase \"{}\"{}; the CUDA kernels of forward "
                  "and train can be estimated",
                  name, NearestHint(name, {"forward", "train"})));
}

void CheckSize(const char* flag, int64_t value) {
  if (value >= 1 && value <= kLongest) return;
  throw UserError(
      fmt::format("{} must be from 1 to {}, not {}", flag, kLongest, value));
}

MixerSpec SpecOf(const Variant& variant,
                 const std::optional<int64_t>& window_keys,
                 const std::optional<int64_t>& sinks) {
  const bool has_sinks = variant.spec.local.kind == LocalKind::kWindowSinks;
  MixerSpec spec;
  std::string reason;
  if (!MakeSpec(variant,
                {.window_keys = window_keys.value_or(0),
                 .sinks = has_sinks ? sinks.value_or(-1) : -1},
                &spec, &reason)) {
    throw UserError(reason);
  }
  return spec;
}

}  // namespace

std::vector<KernelPoint> KernelPoints(const KernelRooflineFlags& flags) {
  std::vector<KernelPoint> points;
  for (const std::string& name : Variants(flags)) {
    const Variant& variant = GetVariant(name, "--variant");
    for (const auto& window : Windows(variant, flags)) {
      for (const std::string& phase : flags.phases) {
        for (const int64_t context : flags.contexts) {
          for (const int64_t batch : flags.batches) {
            CheckSize("--context", context);
            CheckSize("--batch", batch);
            KernelPoint point;
            point.variant = name;
            point.window_keys = window;
            point.phase = phase;
            point.problem.spec = SpecOf(variant, window, flags.sinks);
            point.problem.phase = PhaseOf(phase);
            point.problem.dtype = Dtype::kBF16;
            point.problem.shape = {
                batch,   flags.model.query_heads, flags.model.kv_heads, context,
                context, flags.model.head_dim,    flags.model.head_dim};
            points.push_back(std::move(point));
          }
        }
      }
    }
  }
  return points;
}

void EstimateOn(const Hardware& hardware, const CompiledKernels& compiled,
                std::vector<KernelPoint>* points) {
  for (KernelPoint& point : *points) {
    point.skipped = cuda::CudaSupports(point.problem).reason;
    if (!point.skipped.empty()) continue;
    point.estimate = EstimateKernels(point.problem, hardware, compiled);
  }
}

PublishedFigures LoadPublished(const std::string& name) {
  const std::string path = FindConfig("published", name);
  auto published = ParseFields<PublishedFigures>(ReadJsonFile(path), path);
  for (const PublishedRow& row : published.rows) {
    CheckSize("context", row.context);
    CheckSize("batch", row.batch);
  }
  return published;
}

Problem ProblemOf(const PublishedFigures& published, const PublishedRow& row) {
  Problem problem;
  problem.spec = SpecOf(GetVariant(published.variant, "published"), {}, {});
  problem.dtype = Dtype::kBF16;
  problem.shape = {
      row.batch,   published.query_heads, published.query_heads, row.context,
      row.context, published.head_dim,    published.head_dim};
  return problem;
}

}  // namespace rattn
