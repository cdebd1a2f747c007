// rattn roofline: predicted time of a decoding step and what a window buys;
// with --kernels that of the CUDA kernels (verb_roofline_kernels.h).
#include <fmt/format.h>

#include <memory>

#include "harness/model_flags.h"
#include "harness/roofline.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "harness/verb_roofline_kernels.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

struct RooflineFlags {
  ModelFlags model;
  std::vector<std::string> hardware = {"h100-sxm"};
  std::vector<int64_t> contexts = {4096, 8192};
  std::vector<int64_t> batches = {1, 16, 64, 256};
  LocalLists local;  // empty: the model's
  std::string baseline = "swa";
  int64_t baseline_window = 4096;
  std::string state = "kv-head";
  bool kernels = false;
  std::vector<std::string> phases;  // of kernels; empty: forward
  bool json = false;
};

struct Prediction {
  Hardware hardware;
  StepOptions options;
  std::string variant;
  std::optional<int64_t> window_keys;
  StepTime step, baseline;
  double SpeedUp() const { return baseline.seconds / step.seconds; }
};

std::optional<int64_t> WindowOf(const ModelConfig& config) {
  if (!FindVariant(config.local.variant)->takes_window) return std::nullopt;
  return config.local.window_keys;
}

ModelConfig BaselineOf(const ModelConfig& config, const RooflineFlags& flags) {
  // The model's sinks are its variant's: the baseline has its own default.
  LocalOverride change = {.variant = flags.baseline, .sinks = -1};
  const Variant* variant = FindVariant(flags.baseline);
  if (variant != nullptr && variant->takes_window) {
    change.window_keys = flags.baseline_window;
  }
  return WithLocal(config, change);
}

std::vector<Prediction> Predict(const RooflineFlags& flags) {
  std::vector<Prediction> all;
  const StateTraffic traffic = ParseStateTraffic(flags.state);
  for (const std::string& name : flags.hardware) {
    const Hardware hardware = LoadHardware(name);
    for (const ModelConfig& model : flags.model.LoadAll(flags.local)) {
      const ModelConfig baseline = BaselineOf(model, flags);
      for (const int64_t context : flags.contexts) {
        for (const int64_t batch : flags.batches) {
          const StepOptions options = {context, batch, flags.model.CacheDtype(),
                                       traffic};
          all.push_back({hardware, options, model.local.variant,
                         WindowOf(model), PredictStep(model, hardware, options),
                         PredictStep(baseline, hardware, options)});
        }
      }
    }
  }
  return all;
}

Json ToJson(const StepTime& step) {
  return {{"seconds", step.seconds},
          {"cache_seconds", step.cache_seconds},
          {"weight_seconds", step.weight_seconds},
          {"compute_seconds", step.compute_seconds},
          {"cache_bytes", step.cache_bytes},
          {"weight_bytes", step.weight_bytes},
          {"flops", step.flops},
          {"resident_bytes", step.resident_bytes},
          {"fits", step.fits}};
}

std::string BaselineText(const RooflineFlags& flags) {
  const Variant* variant = FindVariant(flags.baseline);
  return variant->takes_window
             ? MixerText(flags.baseline, flags.baseline_window)
             : flags.baseline;
}

constexpr const char* kNotModelled =
    "not modelled: attention arithmetic, the write of the new row, "
    "activations, launches, communication; peaks are taken as reached";

void PrintText(const RooflineFlags& flags, const std::string& model,
               const std::vector<Prediction>& all) {
  const auto& traffic =
      StateTrafficNames()[static_cast<size_t>(all.front().options.traffic)];
  fmt::print(
      "{}: predicted decoding step, {} weights and cache, state: {}; "
      "baseline {}\n{}\n\n",
      model, flags.model.dtype, traffic.meaning, BaselineText(flags),
      kNotModelled);
  TextTable table({"hardware", "mixer", "context", "batch", "step", "baseline",
                   "speed-up", "cache", "fits"},
                  {0, 1, 8});
  for (const Prediction& p : all) {
    table.Add({p.hardware.name, MixerText(p.variant, p.window_keys),
               WithCommas(p.options.context), WithCommas(p.options.batch),
               FormatSi(p.step.seconds, "s"), FormatSi(p.baseline.seconds, "s"),
               fmt::format("{:.2f}", p.SpeedUp()),
               FormatBytes(p.step.cache_bytes), p.step.fits ? "yes" : "no"});
  }
  fmt::print("{}", table.Plain());
}

int RunRoofline(const RooflineFlags& flags) {
  const std::vector<Prediction> all = Predict(flags);
  const std::string model = LoadModelConfig(flags.model.model).name;
  if (!flags.json) {
    PrintText(flags, model, all);
    return kExitDone;
  }
  Json cells = Json::array();
  for (const Prediction& p : all) {
    cells.push_back(
        {{"hardware", p.hardware.name},
         {"variant", p.variant},
         {"window_keys", p.window_keys ? Json(*p.window_keys) : Json()},
         {"context", p.options.context},
         {"batch", p.options.batch},
         {"speedup", p.SpeedUp()},
         {"step", ToJson(p.step)},
         {"baseline", ToJson(p.baseline)}});
  }
  const Json json = {{"model", model},
                     {"dtype", flags.model.dtype},
                     {"state", flags.state},
                     {"baseline", BaselineText(flags)},
                     {"not_modelled", kNotModelled},
                     {"predictions", cells}};
  fmt::print("{}\n", json.dump(2));
  return kExitDone;
}

// Flags that were not given have other defaults here.
int RunKernels(const CLI::App& app, const RooflineFlags& flags) {
  if (flags.model.CacheDtype() != Dtype::kBF16) {
    throw UserError("--kernels estimates bf16 only, not " + flags.model.dtype);
  }
  KernelRooflineFlags kernels;
  kernels.model = flags.model.Load();
  kernels.sinks = flags.model.local.sinks;
  kernels.hardware = flags.hardware;
  kernels.variants = flags.local.variants;
  kernels.windows = flags.local.windows;
  kernels.contexts = flags.contexts;
  kernels.batches =
      app.count("--batch") > 0 ? flags.batches : std::vector<int64_t>{1};
  kernels.phases =
      flags.phases.empty() ? std::vector<std::string>{"forward"} : flags.phases;
  kernels.json = flags.json;
  return RunKernelRoofline(kernels);
}

}  // namespace

void AddRoofline(CLI::App& app, Action* action) {
  auto flags = std::make_shared<RooflineFlags>();
  flags->model.AddTo(app, &flags->local);
  const auto list = [&app](const char* name, auto& values, const char* help) {
    app.add_option(name, values, help)->delimiter(',')->capture_default_str();
  };
  list("--hardware", flags->hardware, "names in configs/hardware, or files");
  list("--context", flags->contexts, "tokens cached, a list");
  list("--batch", flags->batches, "sequences, a list");
  app.add_option("--baseline", flags->baseline, "variant to compare with")
      ->capture_default_str();
  app.add_option("--baseline-window", flags->baseline_window,
                 "its window, itself included")
      ->capture_default_str();
  app.add_option("--state", flags->state,
                 "what a step moves of a state: kv-head, query-head or "
                 "kv-head-bf16-read")
      ->capture_default_str();
  CLI::Option* kernels = app.add_flag(
      "--kernels", flags->kernels,
      "instead: the CUDA kernels of a layer, their occupancy and least time "
      "(all variants unless --variant names some, batch 1)");
  app.add_option("--phase", flags->phases,
                 "with --kernels: forward (the default), train; a list")
      ->delimiter(',')
      ->needs(kernels);
  app.add_flag("--json", flags->json, "machine-readable output");
  *action = [flags, &app] {
    return flags->kernels ? RunKernels(app, *flags) : RunRoofline(*flags);
  };
}

}  // namespace rattn
