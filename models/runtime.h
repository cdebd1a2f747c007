// What needs LibTorch, behind an interface that does not: the program loads
// librattn_models.so only for verbs and cells that train or run a model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "models/batch_source.h"
#include "models/language_model.h"
#include "models/model_config.h"
#include "models/overrides.h"
#include "models/scoring_model.h"

namespace rattn {

struct ExecutionOptions {
  std::string backend = "cpu";  // of the mixers; "aten" = plain LibTorch ops
  std::string dtype = "fp32";   // "bf16": compute, with fp32 master weights
  int threads = 0;              // 0 = all
  int64_t batch = 0;            // sequences that score or generate side by
                                // side at most; 0 = what is fast
};

struct TrainOptions {
  int64_t steps = 500;
  int64_t batch = 32;
  double lr = 4e-3;
  double lr_end = 0;     // cosine end, as a share of lr
  double warmup = 0.05;  // share of the steps
  double beta1 = 0.9;
  double beta2 = 0.98;
  double weight_decay = 0.01;    // on tensors of two or more axes
  double clip = 1.0;             // global gradient norm
  uint64_t seed = 0;             // of the initial weights
  int64_t checkpoint_every = 0;  // steps; 0 = only at the end
};

struct TrainProgress {
  int64_t step = 0;  // steps done
  int64_t steps = 0;
  double loss = 0;  // running mean, nats per scored token
  double tokens_per_s = 0;
};

struct TrainResult {
  double loss = 0;     // mean of the last 20 steps
  double seconds = 0;  // of this process (a resumed run: its own share)
  double tokens_per_s = 0;
  int64_t parameters = 0;
  int64_t resumed_from = 0;       // step that the checkpoint stood at
  std::vector<float> loss_curve;  // one value per step
};

class ModelRuntime {
 public:
  virtual ~ModelRuntime() = default;
  // Trains, writing `checkpoint` (safetensors: weights, optimizer state, step,
  // loss curve, config). If `checkpoint` exists it is continued bit for bit;
  // if it is finished, nothing is computed. `progress` returns false to stop
  // early after saving.
  virtual TrainResult Train(
      const ModelConfig& config, const TrainOptions& options,
      const ExecutionOptions& execution, const BatchSource& data,
      const std::string& checkpoint,
      const std::function<bool(const TrainProgress&)>& progress) const = 0;
  // Random weights / weights of a checkpoint that Train wrote.
  virtual std::unique_ptr<LanguageModel> Create(
      const ModelConfig& config, uint64_t seed,
      const ExecutionOptions& execution) const = 0;
  virtual std::unique_ptr<LanguageModel> Load(
      const std::string& checkpoint,
      const ExecutionOptions& execution) const = 0;
  // A Hugging Face folder (config.json, model.safetensors or its shards), with
  // another window or mixer if `overrides` say so.
  virtual std::unique_ptr<ScoringModel> LoadScoring(
      const std::string& folder, const MixerOverrides& overrides,
      const ExecutionOptions& execution) const = 0;
  // LibTorch's scaled_dot_product_attention as a kernel backend.
  virtual const Backend* torch_backend() const = 0;
  virtual std::string torch_version() const = 0;
};

// Loads librattn_models.so from the program's folder (or RATTN_MODELS_LIB) on
// first use; throws RunError with the loader's reason.
const ModelRuntime& GetModelRuntime();

}  // namespace rattn
