#include "models/torch/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "models/error.h"
#include "models/torch/checkpoint.h"
#include "models/torch/ops.h"
#include "models/torch/optimizer.h"
#include "models/torch/transformer.h"
#include "models/torch/weights.h"

namespace rattn {
namespace {

constexpr int64_t kLossWindow = 20;  // steps of the running mean

void CheckOptions(const TrainOptions& o) {
  const auto require = [](bool holds, std::string_view name,
                          std::string_view rule, auto value) {
    if (!holds) {
      throw UserError(fmt::format("{} must be {}, got {}", name, rule, value));
    }
  };
  require(o.steps >= 1, "steps", "1 or more", o.steps);
  require(o.batch >= 1, "batch", "1 or more", o.batch);
  require(std::isfinite(o.lr) && o.lr > 0, "lr", "above 0", o.lr);
  require(o.lr_end >= 0 && o.lr_end <= 1, "lr_end", "from 0 to 1", o.lr_end);
  require(o.warmup >= 0 && o.warmup < 1, "warmup", "from 0 to below 1",
          o.warmup);
  require(o.beta1 >= 0 && o.beta1 < 1, "beta1", "from 0 to below 1", o.beta1);
  require(o.beta2 >= 0 && o.beta2 < 1, "beta2", "from 0 to below 1", o.beta2);
  require(o.weight_decay >= 0, "weight_decay", "0 or more", o.weight_decay);
  require(o.clip >= 0, "clip", "0 (never) or more", o.clip);
  require(o.checkpoint_every >= 0, "checkpoint_every", "0 (at the end) or more",
          o.checkpoint_every);
}

// The scored positions of a batch, ready for the loss.
struct Labels {
  at::Tensor places;   // int64 indices into [rows length]; absent = all
  at::Tensor targets;  // int32, one per place
};

Labels LabelsOf(const Batch& batch, int64_t vocab_size) {
  std::vector<int64_t> places;
  std::vector<int32_t> targets;
  for (size_t i = 0; i < batch.targets.size(); ++i) {
    const int32_t target = batch.targets[i];
    if (target == kNoTarget) continue;
    if (target < 0 || target >= vocab_size) {
      throw UserError(fmt::format(
          "target {} is outside the model's vocabulary of {}; use a model made "
          "for this data",
          target, vocab_size));
    }
    places.push_back(static_cast<int64_t>(i));
    targets.push_back(target);
  }
  if (targets.empty()) throw RunError("a training batch scores no position");
  Labels labels;
  labels.targets = at::tensor(targets, at::kInt);
  if (targets.size() < batch.targets.size()) {
    labels.places = at::tensor(places, at::kLong);
  }
  return labels;
}

class Trainer {
 public:
  Trainer(const ModelConfig& config, const TrainOptions& options,
          const Execution& execution)
      : options_(options),
        layout_(LayoutOf(config)),
        model_(config, execution),
        adam_(options, layout_.decayed_elements, layout_.total_elements,
              execution.device),
        gradients_(
            at::zeros({layout_.total_elements}, at::device(execution.device))) {
    state_.parameters =
        InitialParameters(layout_, options.seed).to(execution.device);
    state_.first_moment = adam_.first_moment();
    state_.second_moment = adam_.second_moment();
    weights_ = ViewWeights(config, layout_, state_.parameters, gradients_);
  }

  const ParameterLayout& layout() const { return layout_; }
  TrainState& state() { return state_; }

  void Step(const Batch& batch) {
    const int64_t vocab = model_.config().vocab_size;
    const TokenBlock tokens =
        MakeTokens(batch.tokens, batch.rows, batch.length, vocab);
    const Labels labels = LabelsOf(batch, vocab);
    const at::Tensor loss =
        MeanCrossEntropy(model_.Logits(weights_, tokens, labels.places),
                         labels.targets.to(model_.execution().device));
    gradients_.zero_();
    torch::autograd::backward({loss}, {});
    adam_.Step(state_.step, state_.parameters, gradients_);
    state_.loss_curve.push_back(loss.item<float>());
    ++state_.step;
  }

 private:
  TrainOptions options_;
  ParameterLayout layout_;
  Transformer model_;
  AdamW adam_;
  at::Tensor gradients_;
  TrainState state_;
  ModelWeights weights_;
};

double RunningLoss(const std::vector<float>& curve) {
  const int64_t n =
      std::min<int64_t>(kLossWindow, static_cast<int64_t>(curve.size()));
  return n == 0 ? 0
                : std::accumulate(curve.end() - n, curve.end(), 0.0) /
                      static_cast<double>(n);
}

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since)
      .count();
}

void CheckLoss(const TrainState& state) {
  if (std::isfinite(state.loss_curve.back())) return;
  throw RunError(fmt::format(
      "training diverged: the loss of step {} is not finite; lower lr",
      state.step));
}

}  // namespace

TrainResult TrainModel(
    const ModelConfig& config, const TrainOptions& options,
    const ExecutionOptions& execution_options, const BatchSource& data,
    const std::string& checkpoint,
    const std::function<bool(const TrainProgress&)>& progress) {
  CheckOptions(options);
  if (data.vocab_size() > config.vocab_size) {
    throw UserError(fmt::format(
        "the data has {} tokens, model {} only {}; raise \"vocab_size\"",
        data.vocab_size(), config.name, config.vocab_size));
  }
  const Execution execution(execution_options);
  at::set_num_threads(execution.threads);
  const at::AutoGradMode with_gradients(true);
  const RunIdentity identity =
      IdentityOf(config, options, execution_options, data);
  Trainer trainer(config, options, execution);
  TrainState& state = trainer.state();

  TrainResult result;
  for (const Parameter& p : trainer.layout().parameters) {
    result.parameters += p.NumElements();
  }
  if (!checkpoint.empty() && std::filesystem::exists(checkpoint)) {
    LoadCheckpoint(checkpoint, identity, trainer.layout(), &state);
    result.resumed_from = state.step;
  }
  const auto save = [&] {
    if (checkpoint.empty()) return;
    SaveCheckpoint(checkpoint, identity, trainer.layout(), state);
  };

  const auto start = std::chrono::steady_clock::now();
  int64_t tokens = 0;
  bool go_on = true;
  while (go_on && state.step < options.steps) {
    const Batch batch = data.TrainBatch(state.step, options.batch);
    trainer.Step(batch);
    CheckLoss(state);
    tokens += batch.rows * batch.length;
    if (progress) {
      go_on =
          progress({state.step, options.steps, RunningLoss(state.loss_curve),
                    static_cast<double>(tokens) / Seconds(start)});
    }
    const bool due = options.checkpoint_every > 0 &&
                     state.step % options.checkpoint_every == 0;
    if (due || !go_on || state.step == options.steps) save();
  }
  result.seconds = Seconds(start);
  result.tokens_per_s =
      tokens == 0 ? 0 : static_cast<double>(tokens) / result.seconds;
  result.loss = RunningLoss(state.loss_curve);
  result.loss_curve = state.loss_curve;
  return result;
}

}  // namespace rattn
