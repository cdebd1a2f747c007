// The library's one entry: models/runtime.cc looks it up by name.
#include <fmt/format.h>
#include <malloc.h>
#include <torch/version.h>

#include <memory>

#include "kernels/backend.h"
#include "kernels/torch/torch_backend.h"
#include "models/error.h"
#include "models/runtime.h"
#include "models/torch/checkpoint.h"
#include "models/torch/guarded.h"
#include "models/torch/hf_weights.h"
#include "models/torch/torch_model.h"
#include "models/torch/torch_scoring_model.h"
#include "models/torch/trainer.h"

namespace rattn {
namespace {

// Activations come and go with every layer: glibc would give their pages back
// and have the system clear new ones, a third of a prompt's time.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest it takes
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

// Their products with weights are kernels of the CPU.
void RefuseDevice(const std::string& backend) {
  for (const BackendEntry& entry : BackendList()) {
    if (entry.name != backend || !entry.on_device) continue;
    throw UserError(fmt::format(
        "checkpoints from disk run on the CPU only, not on {}: leave --device "
        "and --backend out",
        backend));
  }
}

template <typename F>
auto RunModel(const F& f) {
  KeepFreedMemory();
  return Guarded(f);
}

class TorchRuntime : public ModelRuntime {
 public:
  TrainResult Train(const ModelConfig& config, const TrainOptions& options,
                    const ExecutionOptions& execution, const BatchSource& data,
                    const std::string& checkpoint,
                    const std::function<bool(const TrainProgress&)>& progress)
      const override {
    return RunModel([&] {
      return TrainModel(config, options, execution, data, checkpoint, progress);
    });
  }

  std::unique_ptr<LanguageModel> Create(
      const ModelConfig& config, uint64_t seed,
      const ExecutionOptions& execution) const override {
    return RunModel([&] {
      return std::make_unique<TorchModel>(
          config, InitialParameters(LayoutOf(config), seed),
          Execution(execution));
    });
  }

  std::unique_ptr<LanguageModel> Load(
      const std::string& checkpoint,
      const ExecutionOptions& execution) const override {
    return RunModel([&] {
      const LoadedModel model = LoadModel(checkpoint);
      return std::make_unique<TorchModel>(model.config, model.parameters,
                                          Execution(execution));
    });
  }

  std::unique_ptr<ScoringModel> LoadScoring(
      const std::string& folder, const MixerOverrides& overrides,
      const ExecutionOptions& options) const override {
    return RunModel([&]() -> std::unique_ptr<ScoringModel> {
      RefuseDevice(options.backend);
      const HfModel model = LoadHfConfig(folder);
      const ModelConfig config = WithOverrides(model.config, overrides);
      const Execution execution(options);
      const auto tensors = std::make_shared<const HfTensors>(folder);
      return std::make_unique<TorchScoringModel>(
          config,
          LoadHfWeights(config, *model.architecture, *tensors, execution.dtype),
          execution, tensors);
    });
  }

  const Backend* torch_backend() const override { return TorchBackend(); }
  std::string torch_version() const override { return TORCH_VERSION; }
};

}  // namespace
}  // namespace rattn

extern "C" const rattn::ModelRuntime* rattn_model_runtime() {
  static const rattn::TorchRuntime runtime;
  return &runtime;
}
